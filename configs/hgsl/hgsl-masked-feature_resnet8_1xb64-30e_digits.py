_base_ = ['./hgsl-k1_resnet8_1xb64-30e_digits.py']

# HGSL with a loss on masked features, against snapshots of the model itself.
# The head leaves the embeddings in its predictions.
model = dict(
    _delete_=True,
    type='mask_plugins.ReferenceClassifier',
    scope='head',
    teacher=dict(type='mask_plugins.SnapshotTeacher', begin=8, interval=1),
    backbone=_base_.model.backbone,
    neck=_base_.model.neck,
    head=dict(
        type='mask_plugins.MaskedFeatureHead',
        mask_ratio=0.5,
        head=_base_.model.head,
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            _delete_=True, **{'head.head.alpha': dict(lr_mult=0.002)}
        )
    )
)
custom_hooks = _base_.custom_hooks[:-1] + [
    dict(type='mask_plugins.ClipExemptHook', names=('head.head.alpha',)),
    dict(type='mask_plugins.TeacherHook'),
]
