_base_ = './hgsl_resnet50_aircraft.py'

model = dict(
    head=dict(
        _delete_=True,
        type='ArcFaceClsHead',
        num_classes=50,
        in_channels=4096,
        scale=64.0,
        margins=0.5,
    )
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
# There is no alpha to leave out of the clipping.
custom_hooks = _base_.custom_hooks[:-1]
