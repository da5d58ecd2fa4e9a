_base_ = './hgsl-k1_resnet8_digits.py'

model = dict(
    head=dict(
        _delete_=True,
        type='LinearClsHead',
        num_classes=5,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss'),
    )
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
# There is no alpha to leave out of the clipping.
custom_hooks = _base_.custom_hooks[:-1]
