# One stage of Continuous Sparsification without masks: the dense baseline.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
    ),
)
param_scheduler = dict(
    type='mask_plugins.StagewiseMultiStepLR',
    stage_epochs=85,
    milestones=[56, 71],
    gamma=0.1,
)

train_cfg = dict(by_epoch=True, max_epochs=85, val_interval=1)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2))

auto_scale_lr = dict(base_batch_size=128, enable=False)
