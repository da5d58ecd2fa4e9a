_base_ = [
    '../_base_/models/continual_lwf_resnet18.py',
    '../_base_/datasets/continual_digits.py',
    '../_base_/schedules/continual_sgd_8e.py',
]

model = dict(
    backbone=dict(type='ResNet_CIFAR', stem_channels=16, base_channels=16),
    head=dict(head=dict(in_channels=128)),
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
