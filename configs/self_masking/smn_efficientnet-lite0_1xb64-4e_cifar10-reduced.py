_base_ = [
    '../_base_/models/smn_efficientnet-lite0.py',
    '../_base_/datasets/cifar10_64px_reduced.py',
    '../_base_/schedules/smn_sgdc_150e.py',
]

# 128 iterations, a thousandth of the paper's: no warm-up and a higher rate.
optim_wrapper = dict(optimizer=dict(lr=200.0))
param_scheduler = dict(warmup=0)
train_cfg = dict(max_epochs=4, val_interval=4)
