# masked-analysis: SGD, a tenth of the rate after 25 and 35 of 50 epochs. With
# a teacher the rates are the same: nothing rebuilds the optimizer.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = dict(
    type='MultiStepLR', by_epoch=True, milestones=[25, 35], gamma=0.1
)

train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=5)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2))
# Shows the features to RankMe.
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.FeatureHook')]

auto_scale_lr = dict(base_batch_size=128, enable=False)
