_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

# mask_mode: 'scalar', 'per_rank', 'zero', 'dropout'; inv_mode: 'none', 'add',
# 'subtract' (not with 'dropout'). The reference is the student of an epoch
# ago, from epoch 8 on.
model = dict(
    type='mask_plugins.ReferenceClassifier',
    scope='whole',
    teacher=dict(type='mask_plugins.SnapshotTeacher', begin=8, interval=1),
    head=dict(
        _delete_=True,
        type='mask_plugins.MaskedFeatureHead',
        head=_base_.model.head,
        mask_ratio=0.85,
        mask_mode='scalar',
        inv_mode='add',
        mask_multi=1,
        loss_weight=1.0,
        mask_loss=dict(type='mask_plugins.DistillationLoss', scale=False),
        mask_softmax=False,
    ),
)
custom_hooks = _base_.custom_hooks + [dict(type='mask_plugins.TeacherHook')]
