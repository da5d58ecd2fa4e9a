# Piggyback (Mallya et al., arXiv:1801.06519): scores of 0.01 at a threshold of
# 0.005, no scaling, Adam for both, a trained linear head.
_base_ = './smn_resnet18_1xb64-150e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(
    backbone=dict(mask=dict(init=1e-2, threshold=5e-3, scale=False)),
    head=dict(
        _delete_=True,
        type='LinearClsHead',
        num_classes=_base_.data_preprocessor.num_classes,
        in_channels=512,
    ),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=1e-4),
    paramwise_cfg=dict(head=dict(lr=1e-3)),
)
