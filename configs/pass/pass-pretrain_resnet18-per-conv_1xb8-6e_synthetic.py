# A gate before every convolution of the stock ResNet, as in the original.
_base_ = ['./pass-pretrain_resnet18_1xb8-6e_synthetic.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        zero_init_residual=False,
        conv_cfg=dict(
            type='mask_plugins.GatedConv2d',
            gate=dict(type='pooled', patch_size=4, init_skip_ratio=0.3),
        ),
    ),
)
