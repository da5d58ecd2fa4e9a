# A patch sampling schedule in a plain ViT: the drop ratio falls from 80 % to
# 0 and rises again every 8000 iterations. Dropped tokens stay in the feature
# map, and the last 4 of 12 blocks compute them again.
_base_ = [
    '../_base_/mmseg/fcn-r18_cityscapes.py',
    '../_base_/schedules/pss_cyclic-80-0.py',
]

model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mask_plugins.TokenSampler',
        dropped='keep',
        return_after=8,
        module=dict(
            type='mmpretrain.VisionTransformer',
            arch='deit-small',
            img_size=(512, 1024),
            patch_size=16,
            out_type='featmap',
            out_indices=[7, 11],
            init_cfg=dict(
                type='Pretrained',
                checkpoint='checkpoints/deit-small.pth',
                prefix='backbone.',
            ),
        ),
    ),
    decode_head=dict(in_channels=384, in_index=1),
    auxiliary_head=dict(in_channels=384, in_index=0),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=6e-5, weight_decay=0.01)
)
custom_hooks = [
    *_base_.custom_hooks,  # noqa: F821
    dict(
        type='mask_plugins.PSSHook',
        schedule=dict(period=8000, **_base_.pss_hook.schedule),  # noqa: F821
    ),
]
