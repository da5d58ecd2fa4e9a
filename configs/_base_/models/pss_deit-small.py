# DeiT-S/16 with the read-out and the relative position bias of the PSS runs;
# stock DeiT has neither (class token, absolute embedding only), so the
# baseline is this very class at drop ratio 0.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mask_plugins.PSSVisionTransformer',
        arch='small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='avg_featmap',
        use_abs_pos_emb=True,
        use_rel_pos_bias=True,
        layer_scale_init_value=0.0,
    ),
    neck=None,
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=384,
        loss=dict(
            type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='CutMix', alpha=1.0),
        ]
    ),
)
