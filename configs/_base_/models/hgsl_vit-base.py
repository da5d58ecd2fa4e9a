# ViT-B/16; the class token is the embedding. Not of the original.
model = dict(
    type='mask_plugins.ImageEmbedder',
    backbone=dict(
        type='VisionTransformer',
        arch='b',
        img_size=224,
        patch_size=16,
        out_type='cls_token',
        init_cfg=dict(
            type='Pretrained',
            # vit-base-p16_in21k-pre-3rdparty_ft-64xb64_in1k-384 of mmpretrain;
            # its position embedding is resized to 224 pixels.
            checkpoint='https://download.openmmlab.com/mmclassification/v0/'
            'vit/finetune/vit-base-p16_in21k-pre-3rdparty_ft-64xb64_in1k-384_'
            '20210928-98e8652b.pth',
            prefix='backbone.',
        ),
    ),
    neck=None,
    head=dict(
        type='mask_plugins.HardGlobalSoftminHead',
        num_classes=100,
        in_channels=768,
        top_k=1,
    ),
)
