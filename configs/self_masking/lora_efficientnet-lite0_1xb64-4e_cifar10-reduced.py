# The baseline of smn at as many bytes: LoRA of peft on the 1x1 convolutions
# (mmpretrain's LoRAModel takes linear layers, of which there are none).
_base_ = './finetune_efficientnet-lite0_1xb64-4e_cifar10-reduced.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mask_plugins.PeftModel',
        module=_base_.model.backbone.module,
        adapter=dict(
            type='LoraConfig',
            r=4,
            lora_alpha=4,
            target_modules=r'.*(conv_pw|conv_pwl|conv_head)',
        ),
    )
)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
