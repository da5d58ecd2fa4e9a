# ResNet-50 whose last stage keeps its stride at 1 (output stride 16); maximum
# and average pooling side by side, 4096 channels, no reduction.
model = dict(
    type='mask_plugins.ImageEmbedder',
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(3,),
        strides=(1, 2, 2, 1),
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=dict(type='mask_plugins.MaxAvgPooling', l2=True),
    head=dict(
        type='mask_plugins.HardGlobalSoftminHead',
        num_classes=100,
        in_channels=4096,
        top_k=1,
    ),
)
