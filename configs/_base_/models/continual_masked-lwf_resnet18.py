# Masked LwF: the logits of masked features are compared with the old model's.
_base_ = './continual_lwf_resnet18.py'

model = dict(
    # That of unmasked features, too: 2.5 is the original's if_wf=1, whose
    # factor of 10 lacks T^2 = 4. 0 leaves it out.
    loss_weight=0.0,
    head=dict(
        _delete_=True,
        type='mask_plugins.MaskedFeatureHead',
        mask_ratio=0.5,
        mask_mode='scalar',
        inv_mode='none',
        loss_weight=0.75,
        mask_loss=dict(type='mask_plugins.OldClassesLoss', loss='kd'),
        head=dict(
            type='mask_plugins.ClassIncrementalHead',
            loss_classes='new',
            head=dict(
                type='LinearClsHead',
                num_classes=10,
                in_channels=512,
                topk=(1,),
                loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
            ),
        ),
    ),
)
