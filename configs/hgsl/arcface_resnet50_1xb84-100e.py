_base_ = './hgsl_resnet50_1xb84-100e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$HGSL_DATASET:cub}}'
model = dict(
    head=dict(
        _delete_=True,
        type='ArcFaceClsHead',
        num_classes=_base_.data_preprocessor.num_classes,
        in_channels=4096,
        scale=64.0,
        margins=0.5,
    )
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
# Without the hook for alpha.
custom_hooks = _base_.custom_hooks[:-1]
