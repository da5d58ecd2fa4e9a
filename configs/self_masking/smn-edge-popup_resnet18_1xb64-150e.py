# edge-popup (Ramanujan et al., arXiv:1911.13299): the best half of every
# tensor of a network that was never trained.
_base_ = './smn_resnet18_1xb64-150e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
half = dict(
    type='mask_plugins.ScoreMask',
    init='kaiming',
    criterion='topk',
    keep_ratio=0.5,
)
model = dict(
    backbone=dict(
        module=dict(
            init_cfg=dict(
                _delete_=True,
                type='Kaiming',
                layer='Conv2d',
                mode='fan_in',
                nonlinearity='relu',
            )
        ),
        mask=half,
    ),
    head=dict(mask=half),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.1, momentum=0.9),
    paramwise_cfg=dict(masks=dict(weight_decay=1e-4)),
)
param_scheduler = dict(warmup=0)
