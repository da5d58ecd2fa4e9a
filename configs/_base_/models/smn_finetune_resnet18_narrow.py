# What would be masked is trained instead: the network of smn_resnet18_narrow.
_base_ = './smn_finetune_resnet18.py'

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
