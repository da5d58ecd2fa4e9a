# A linear head on the frozen backbone: no masks.
_base_ = './smn_resnet50.py'

model = dict(
    backbone=dict(
        rules=[('*', 'freeze')],
        # Statistics stay those of the pretraining.
        module=dict(norm_eval=True),
    ),
    head=dict(
        _delete_=True,
        type='LinearClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
