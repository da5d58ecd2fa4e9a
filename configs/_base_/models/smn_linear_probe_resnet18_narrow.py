# A linear head on the frozen backbone, norms included: no masks.
_base_ = './smn_resnet18_narrow.py'

model = dict(
    backbone=dict(
        rules=[('*', 'freeze')],
        module=dict(norm_eval=True),
    ),
    head=dict(
        _delete_=True, type='LinearClsHead', num_classes=1000, in_channels=128
    ),
)
