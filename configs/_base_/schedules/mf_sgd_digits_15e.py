# The schedule for digits: 345 steps, a quarter of a minute on one CPU core.
_base_ = './mf_sgd_50e.py'

param_scheduler = dict(milestones=[8, 12])
train_cfg = dict(max_epochs=15, val_interval=1)
auto_scale_lr = dict(base_batch_size=64)
