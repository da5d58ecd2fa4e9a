_base_ = [
    '../_base_/models/smn_swav_efficientnet-lite0.py',
    '../_base_/datasets/cifar10_two-crop_64px_reduced.py',
    '../_base_/schedules/smn_adam_4e.py',
]

# Four epochs of 78 iterations.
optim_wrapper = dict(
    optimizer=dict(lr=3e-5),
    paramwise_cfg=dict(head_modules=('neck', 'head')),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mask_plugins.SwAVHook', queue_start_epoch=1, freeze_prototypes=78
    ),
    dict(type='mask_plugins.LinearProbeHook', layer='backbone'),
]
val_cfg = dict(type='mask_plugins.SelfSupValLoop')
test_cfg = dict(type='mask_plugins.SelfSupTestLoop')
