_base_ = [
    '../_base_/models/smn_swav_resnet18_narrow.py',
    '../_base_/datasets/cifar10_5to9_mcrop_32px.py',
    '../_base_/schedules/smn_swav_150e.py',
]

pretrained = (
    'work_dirs/pretrain_resnet18-narrow_1xb64-10e_cifar10-reduced/epoch_10.pth'
)
model = dict(backbone=dict(module=dict(init_cfg=dict(checkpoint=pretrained))))
# A fifteenth of the epochs, of 39 iterations each.
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(
        type='mask_plugins.SwAVHook', queue_start_epoch=2, freeze_prototypes=78
    ),
    dict(type='mask_plugins.LinearProbeHook', layer='backbone'),
]
train_cfg = dict(max_epochs=10, val_interval=5)
