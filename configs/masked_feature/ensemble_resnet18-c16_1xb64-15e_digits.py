_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

# Members: runs of ce_resnet18-c16_1xb64-15e_digits with other seeds,
# --work-dir work_dirs/ensemble-member_digits/seed-11
# --cfg-options randomness.seed=11.
members = 'work_dirs/ensemble-member_digits'
model = dict(
    type='mask_plugins.ReferenceClassifier',
    scope='whole',
    teacher=dict(
        type='mask_plugins.EnsembleTeacher',
        checkpoints=[
            f'{members}/seed-11/epoch_15.pth',
            f'{members}/seed-12/epoch_15.pth',
            f'{members}/seed-13/epoch_15.pth',
        ],
        begin=0,
    ),
    kd_loss=dict(type='mask_plugins.DistillationLoss', scale=False),
    loss_weight=1.0,
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
