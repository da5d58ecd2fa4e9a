_base_ = './ensemble-member_resnet18-c40_1xb128-50e_cifar10.py'

members = 'work_dirs/ensemble-member_cifar10'
model = dict(
    type='mask_plugins.ReferenceClassifier',
    scope='whole',
    teacher=dict(
        type='mask_plugins.EnsembleTeacher',
        checkpoints=[
            f'{members}/seed-1/epoch_50.pth',
            f'{members}/seed-3/epoch_50.pth',
            f'{members}/seed-5/epoch_50.pth',
            f'{members}/seed-7/epoch_50.pth',
            f'{members}/seed-9/epoch_50.pth',
        ],
        begin=0,
    ),
    kd_loss=dict(type='mask_plugins.DistillationLoss', scale=False),
    loss_weight=1.0,
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
