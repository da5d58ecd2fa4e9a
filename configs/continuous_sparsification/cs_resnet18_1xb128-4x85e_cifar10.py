_base_ = './cs_resnet20_1xb128-4x85e_cifar10.py'

# mmpretrain's ResNet-18 for CIFAR (11 million weights), masked by its own
# conv_cfg: every convolution, the shortcuts too.
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet_CIFAR',
        depth=18,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=0.0),
    ),
    head=dict(in_channels=512),
)
