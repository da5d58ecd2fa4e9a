_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

# The teacher is the student as it was after 30, 35, 40 and 45 epochs (the
# original's method_start=25, method_epoch=5). Without the factor T^2, loss
# weights are those of the original's tables.
model = dict(
    type='mask_plugins.ReferenceClassifier',
    scope='whole',
    teacher=dict(type='mask_plugins.SnapshotTeacher', begin=30, interval=5),
    kd_loss=dict(type='mask_plugins.DistillationLoss', scale=False),
    loss_weight=1.0,
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
