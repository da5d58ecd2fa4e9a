# ResNet-18 with one learned gate per residual block.
gate = dict(type='pooled', init_skip_ratio=0.3)
model = dict(
    type='mask_plugins.StreamClassifier',
    backbone=dict(
        type='mask_plugins.GatedResNet',
        depth=18,
        zero_init_residual=False,
        gate=gate,
        # Patches of each stage, in pixels of its input map.
        patch_sizes=(2, 2, 2, 2),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=512),
)
