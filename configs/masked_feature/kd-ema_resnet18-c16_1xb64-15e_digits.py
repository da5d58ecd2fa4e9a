_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

# mode: 'ema', 'anne' or 'sto', as in kd-ema_resnet18-c40_1xb128-50e_cifar10.
model = dict(
    type='mask_plugins.ReferenceClassifier',
    scope='whole',
    teacher=dict(
        type='mask_plugins.EMATeacher',
        mode='ema',
        momentum=0.2,
        gamma=100,
        interval=1,
        begin=8,
    ),
    kd_loss=dict(type='mask_plugins.DistillationLoss', scale=False),
    loss_weight=1.0,
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
