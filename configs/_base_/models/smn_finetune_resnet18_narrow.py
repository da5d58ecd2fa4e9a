# What would be masked is trained instead, with a linear head: no masks.
_base_ = './smn_resnet18_narrow.py'

model = dict(
    backbone=dict(
        rules=[
            ('*conv*', 'train'),
            ('*downsample*', 'train'),
            ('*', 'freeze'),
        ],
    ),
    head=dict(
        _delete_=True, type='LinearClsHead', num_classes=1000, in_channels=128
    ),
)
