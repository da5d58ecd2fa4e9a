# A linear head on the frozen backbone: no masks.
_base_ = './smn_clip-vit-base-p32.py'

model = dict(
    backbone=dict(
        rules=[('*', 'freeze')],
    ),
    head=dict(
        _delete_=True,
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
