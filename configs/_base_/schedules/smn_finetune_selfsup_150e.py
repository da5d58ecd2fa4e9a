# Full self-supervised fine-tuning, the baseline of smn_swav_150e.
_base_ = './smn_finetune_swav_150e.py'

custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mask_plugins.SwAVHook',
        queue_start_epoch=30,
        freeze_prototypes=5005,
    ),
]
val_cfg = dict(type='mask_plugins.SelfSupValLoop')
test_cfg = dict(type='mask_plugins.SelfSupTestLoop')
