# CLIP ViT-B/32: queries, keys, values, projections and the two layers of the
# MLP are masked, biases too. The three parts of the fused weight are scaled
# each for itself, since the original has them apart.
pretrained = 'checkpoints/clip-vit-base-p32.pth'
scores = dict(type='mask_plugins.ScoreMask', init=1.0, threshold=0.0)
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mask_plugins.MaskedModel',
        module=dict(
            type='VisionTransformer',
            arch='base',
            img_size=224,
            patch_size=32,
            pre_norm=True,
            norm_cfg=dict(type='LN', eps=1e-5),
            layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
            init_cfg=dict(
                type='Pretrained', checkpoint=pretrained, prefix='backbone.'
            ),
        ),
        rules=[
            dict(pattern='*.attn.qkv.*', action='mask', chunks=3),
            ('*.attn.proj.*', 'mask'),
            ('*.ffn.*', 'mask'),
            ('*', 'freeze'),
        ],
        mask=scores,
    ),
    head=dict(
        type='mask_plugins.TextPrototypeClsHead',
        num_classes=1000,
        in_channels=768,
        embed_dims=512,
        mask=scores,
        init_cfg=dict(
            type='Pretrained', checkpoint=pretrained, prefix='head.'
        ),
    ),
)
