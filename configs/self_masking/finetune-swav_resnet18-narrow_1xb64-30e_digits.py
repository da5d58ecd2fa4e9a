# The baseline of smn-swav: what would be masked is trained without labels.
_base_ = [
    '../_base_/models/smn_swav_resnet18_narrow.py',
    '../_base_/datasets/digits_5to9_mcrop_24px_bs64.py',
    '../_base_/schedules/smn_finetune_selfsup_150e.py',
]

pretrained = (
    'work_dirs/pretrain_resnet18-narrow_1xb64-15e_digits-24px/epoch_15.pth'
)
model = dict(
    backbone=dict(
        module=dict(init_cfg=dict(checkpoint=pretrained)),
        rules=[
            ('*conv*', 'train'),
            ('*downsample*', 'train'),
            ('*', 'freeze'),
        ],
    )
)
# A fifth of the epochs, of 11 iterations each.
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(
        type='mask_plugins.SwAVHook', queue_start_epoch=6, freeze_prototypes=66
    ),
    dict(type='mask_plugins.LinearProbeHook', layer='backbone'),
]
train_cfg = dict(max_epochs=30, val_interval=5)
