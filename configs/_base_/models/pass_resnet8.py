# A CIFAR-style ResNet-8 with one learned gate per convolution.
model = dict(
    type='mask_plugins.StreamClassifier',
    backbone=dict(
        type='mask_plugins.GatedModel',
        module=dict(type='mask_plugins.CIFARResNet', depth=8),
        gate=dict(type='pooled', init_skip_ratio=0.3),
        place='conv',
        patch_size=4,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=64),
)
