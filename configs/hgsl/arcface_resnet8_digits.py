_base_ = './hgsl-k1_resnet8_digits.py'

model = dict(
    head=dict(
        _delete_=True,
        type='ArcFaceClsHead',
        num_classes=5,
        in_channels=128,
        scale=16.0,
        margins=0.2,
    )
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
# There is no alpha to leave out of the clipping.
custom_hooks = _base_.custom_hooks[:-1]
