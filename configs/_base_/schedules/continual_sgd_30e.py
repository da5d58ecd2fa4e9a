# 30 epochs of the first task, 37 of later ones: masked-analysis, CIFAR-10.
# One optimizer for the whole run; nothing is rebuilt.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [
    dict(
        type='mask_plugins.TaskwiseMultiStepLR',
        milestones=[[21, 29], [21, 29, 31]],
        gamma=0.1,
    ),
    # The weight decay of later tasks is 2e-4.
    dict(
        type='MultiStepParamScheduler',
        param_name='weight_decay',
        milestones=[30],
        gamma=2.0,
    ),
]
train_cfg = dict(
    type='mask_plugins.ContinualTrainLoop', epochs=30, later_epochs=1.25
)
val_cfg = dict()
test_cfg = dict()

custom_hooks = [
    dict(type='mask_plugins.SeedHook'),
    dict(type='mask_plugins.TrainLogHook'),
    dict(type='mask_plugins.ContinualHook', reset_momentum=False),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=128)
