# A linear head on frozen features. The original solves a convex problem with
# almost no penalty (0.01 / images); SGD without decay approaches its solution.
_base_ = './smn_finetune_150e.py'

optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=0.0))
train_cfg = dict(max_epochs=100)
