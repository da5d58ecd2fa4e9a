_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

model = dict(
    type='mask_plugins.ReferenceClassifier',
    scope='whole',
    teacher=dict(type='mask_plugins.SnapshotTeacher', begin=9, interval=2),
    kd_loss=dict(type='mask_plugins.DistillationLoss', scale=False),
    loss_weight=1.0,
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
