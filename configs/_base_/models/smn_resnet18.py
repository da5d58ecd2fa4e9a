# torchvision's ResNet-18, trained with labels on ImageNet.
# Convolutions and the whole shortcut, its norm included, are masked; the norms
# of the blocks keep their weights, while their statistics follow the data.
pretrained = 'checkpoints/resnet18-f37072fd.pth'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mask_plugins.MaskedModel',
        module=dict(
            type='ResNet',
            depth=18,
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
        in_channels=512,
        mask=dict(type='mask_plugins.ScoreMask', init=1.0),
    ),
)
