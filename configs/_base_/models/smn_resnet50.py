# SwAV's ResNet-50, trained without labels on ImageNet.
# Convolutions and the whole shortcut, its norm included, are masked; the norms
# of the blocks keep their weights, while their statistics follow the data.
pretrained = 'checkpoints/swav_800ep_pretrain.pth.tar'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mask_plugins.MaskedModel',
        module=dict(
            type='ResNet',
            depth=50,
            init_cfg=dict(type='Pretrained', checkpoint=pretrained),
        ),
        rules=[
            ('*conv*', 'mask'),
            ('*downsample*', 'mask'),
            ('*', 'freeze'),
        ],
        mask=dict(type='mask_plugins.ScoreMask', init=1.0, threshold=0.0),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='mask_plugins.MaskedLinearClsHead',
        num_classes=1000,
        in_channels=2048,
        mask=dict(type='mask_plugins.ScoreMask', init=1.0),
    ),
)
