# ViT-B/16 as SimMIM fine-tunes it: relative position bias in every block, no
# absolute embedding, layer scale, the mean of the kept patches read out.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mask_plugins.PSSVisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='avg_featmap',
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
        layer_scale_init_value=0.1,
        # tools/model_converters/simmim_to_mask_plugins.py writes this file
        # from the official pre-training checkpoint.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/simmim_vit-base_pretrain.pth',
            prefix='backbone.',
        ),
    ),
    neck=None,
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(
            type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
        # 0.02, scaled by 0.001: fine-tuning starts from near-zero logits
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='CutMix', alpha=1.0),
        ]
    ),
)
