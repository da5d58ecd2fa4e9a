# The network of the paper's CIFAR-10 runs, which its code calls ResNet-18: all
# 3x3 convolutions have a soft mask, the shortcuts and the head have none.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mask_plugins.CIFARResNet',
        depth=20,
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=0.0),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal'),
    ),
)
