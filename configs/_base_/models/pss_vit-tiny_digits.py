# A ViT-Ti of half the width and a third of the depth, for 8x8 digits enlarged
# to 24 px: 36 patches of 4 px and the class token.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mask_plugins.PSSVisionTransformer',
        arch=dict(
            embed_dims=96,
            num_layers=4,
            num_heads=3,
            feedforward_channels=384,
        ),
        img_size=24,
        patch_size=4,
        drop_path_rate=0.1,
        out_type='avg_featmap',
        use_abs_pos_emb=True,
        use_rel_pos_bias=True,
        layer_scale_init_value=0.0,
        init_std=0.06,
        pos_embed_std=0.3,
    ),
    neck=None,
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=96,
        loss=dict(
            type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
    ),
)
