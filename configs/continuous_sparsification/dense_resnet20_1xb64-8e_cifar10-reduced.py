_base_ = [
    '../_base_/models/cs_resnet20.py',
    '../_base_/datasets/cifar10_reduced_bs64.py',
    '../_base_/schedules/dense_sgd_85e.py',
]

# As long as the ticket phase of cs_resnet20_1xb64-2x8e_cifar10-reduced.
model = dict(backbone=dict(conv_cfg=None))
param_scheduler = dict(stage_epochs=8, milestones=[5, 7])
train_cfg = dict(max_epochs=8)
default_hooks = dict(checkpoint=dict(interval=1))
auto_scale_lr = dict(base_batch_size=64)
