# Eight epochs of the first task, ten of later ones: the digits.
_base_ = './continual_sgd_30e.py'

optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = dict(
    _delete_=True,
    type='mask_plugins.TaskwiseMultiStepLR',
    milestones=[0.7, 0.95],
    gamma=0.1,
)
train_cfg = dict(epochs=8)
auto_scale_lr = dict(base_batch_size=32)
