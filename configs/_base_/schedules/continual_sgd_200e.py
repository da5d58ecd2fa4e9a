# 200 epochs of the first task, 250 of later ones: masked-analysis, CIFAR-100.
_base_ = './continual_sgd_30e.py'

optim_wrapper = dict(
    optimizer=dict(weight_decay=5e-4),
    # Groups of its own for each parameter of the backbone, for later_lr_mult.
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),
)
param_scheduler = [
    dict(
        type='mask_plugins.TaskwiseMultiStepLR',
        milestones=[[60, 120, 160], [60, 120, 180, 220]],
        gamma=0.2,
    ),
    # The weight decay of later tasks is 2e-4.
    dict(
        type='MultiStepParamScheduler',
        param_name='weight_decay',
        milestones=[200],
        gamma=0.4,
    ),
]
train_cfg = dict(epochs=200)
custom_hooks = [
    dict(type='mask_plugins.SeedHook'),
    dict(type='mask_plugins.TrainLogHook'),
    dict(
        type='mask_plugins.ContinualHook',
        reset_momentum=False,
        later_lr_mult=dict(backbone=0.3),
    ),
]
default_hooks = dict(checkpoint=dict(interval=10))
