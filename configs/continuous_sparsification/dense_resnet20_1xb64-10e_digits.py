_base_ = [
    '../_base_/models/cs_resnet20.py',
    '../_base_/datasets/digits_8px_bs64.py',
    '../_base_/schedules/dense_sgd_85e.py',
]

# As long as the ticket phase of cs_resnet20_1xb64-3x10e_digits.
model = dict(backbone=dict(conv_cfg=None))
param_scheduler = dict(stage_epochs=10, milestones=[6, 8])
train_cfg = dict(max_epochs=10)
default_hooks = dict(checkpoint=dict(interval=1))
auto_scale_lr = dict(base_batch_size=64)
