# A patch sampling schedule in a detector on the one map of a plain ViT: the
# drop ratio falls from 80 % to 0 and rises again, once per epoch. Dropped
# tokens stay in the map, and the last 4 of 12 blocks compute them again.
_base_ = [
    '../_base_/mmdet/retinanet-r18_coco.py',
    '../_base_/schedules/pss_cyclic-80-0.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mask_plugins.TokenSampler',
        dropped='keep',
        return_after=8,
        module=dict(
            type='mmpretrain.VisionTransformer',
            arch='deit-small',
            patch_size=16,
            out_type='featmap',
            init_cfg=dict(
                type='Pretrained',
                checkpoint='checkpoints/deit-small.pth',
                prefix='backbone.',
            ),
        ),
    ),
    neck=None,
    # Boxes of 32 to 512 pixels, which RetinaNet spreads over five maps.
    bbox_head=dict(
        in_channels=384,
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            scales=[2, 4, 8, 16, 32],
            ratios=[0.5, 1.0, 2.0],
            strides=[16],
        ),
    ),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05)
)
custom_hooks = [*_base_.custom_hooks, _base_.pss_hook]  # noqa: F821
