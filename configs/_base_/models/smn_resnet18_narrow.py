# A quarter as wide as ResNet-18 and with a stem for small images. Give it the
# weights that pretrain_resnet18_* makes.
_base_ = './smn_resnet18.py'

pretrained = None
model = dict(
    backbone=dict(
        module=dict(
            type='ResNet_CIFAR',
            stem_channels=16,
            base_channels=16,
            init_cfg=dict(checkpoint=pretrained, prefix='backbone.'),
        )
    ),
    head=dict(in_channels=128),
)
