_base_ = './hgsl_resnet50_1xb84-100e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$HGSL_DATASET:cub}}'
model = dict(
    head=dict(
        _delete_=True,
        type='mask_plugins.PMLLossHead',
        num_classes=_base_.data_preprocessor.num_classes,
        in_channels=4096,
        loss=dict(type='ProxyNCALoss', softmax_scale=8.0),
    )
)
# Proxies need longer steps than the network.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            _delete_=True,
            **{'head.metric_loss': dict(lr_mult=10.0)},
        )
    )
)
# Without the hook for alpha.
custom_hooks = _base_.custom_hooks[:-1]
