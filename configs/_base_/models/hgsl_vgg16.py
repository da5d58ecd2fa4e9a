# VGG-16 without its fully connected layers and last pooling (output stride
# 16). What the original calls VGG16_IR loads a VGG-19.
model = dict(
    type='mask_plugins.ImageEmbedder',
    backbone=dict(
        type='VGG',
        depth=16,
        with_last_pool=False,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/'
            'vgg/vgg16_batch256_imagenet_20210208-db26f1a5.pth',
            prefix='backbone.',
        ),
    ),
    neck=dict(type='mask_plugins.MaxAvgPooling', l2=True),
    head=dict(
        type='mask_plugins.HardGlobalSoftminHead',
        num_classes=100,
        in_channels=1024,
        top_k=1,
    ),
)
