_base_ = [
    '../_base_/models/continual_masked-lwf_resnet18.py',
    '../_base_/datasets/continual_cifar100.py',
    '../_base_/schedules/continual_sgd_200e.py',
]

model = dict(head=dict(head=dict(head=dict(num_classes=100))))

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mask_plugins.TeacherHook'),
]
