# The baseline of smn-swav: what would be masked is trained without labels.
_base_ = [
    '../_base_/models/smn_swav_efficientnet-lite0.py',
    '../_base_/datasets/cifar10_two-crop_64px_reduced.py',
    '../_base_/schedules/smn_finetune_selfsup_150e.py',
]

model = dict(backbone=dict(rules=[('*conv*', 'train'), ('*', 'freeze')]))
# Four epochs of 31 iterations.
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(
        type='mask_plugins.SwAVHook', queue_start_epoch=1, freeze_prototypes=31
    ),
    dict(type='mask_plugins.LinearProbeHook', layer='backbone'),
]
train_cfg = dict(max_epochs=4, val_interval=4)
