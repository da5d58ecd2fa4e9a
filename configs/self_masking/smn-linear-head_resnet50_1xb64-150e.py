# A trained linear head with its own rate and decay in place of the masked one.
_base_ = './smn_resnet50_1xb64-150e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(
    head=dict(
        _delete_=True,
        type='LinearClsHead',
        num_classes=_base_.data_preprocessor.num_classes,
        in_channels=2048,
    )
)
optim_wrapper = dict(paramwise_cfg=dict(head=dict(lr=7e-4, weight_decay=1e-4)))
