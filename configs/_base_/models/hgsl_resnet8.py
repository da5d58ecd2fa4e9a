# A small network for digits and CIFAR-10 on a CPU: 128 channels embedded.
model = dict(
    type='mask_plugins.ImageEmbedder',
    backbone=dict(type='mask_plugins.CIFARResNet', depth=8),
    neck=dict(type='mask_plugins.MaxAvgPooling', l2=True),
    head=dict(
        type='mask_plugins.HardGlobalSoftminHead',
        num_classes=5,
        in_channels=128,
        top_k=1,
    ),
)
