# ProxyNCA in place of HGSL.
_base_ = './hgsl_resnet8.py'

model = dict(
    head=dict(
        _delete_=True,
        type='mask_plugins.PMLLossHead',
        num_classes=5,
        in_channels=128,
        loss=dict(type='ProxyNCALoss', softmax_scale=8.0),
    )
)
