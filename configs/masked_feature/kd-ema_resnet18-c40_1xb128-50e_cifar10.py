_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

# The teacher is an average of the student, updated after every step. mode:
# 'ema', 'anne' (momentum falls to its value as gamma / (gamma + steps)), 'sto'
# (the mean of all steps).
model = dict(
    type='mask_plugins.ReferenceClassifier',
    scope='whole',
    teacher=dict(
        type='mask_plugins.EMATeacher',
        mode='ema',
        momentum=0.2,
        gamma=100,
        interval=1,
        begin=25,
    ),
    kd_loss=dict(type='mask_plugins.DistillationLoss', scale=False),
    loss_weight=1.0,
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
