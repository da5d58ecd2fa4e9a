# A share of every tensor is kept, which falls epoch by epoch from all to half.
_base_ = './smn_resnet18_1xb64-150e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(backbone=dict(mask=dict(init='kaiming', criterion='topk')))
custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.ScheduleHook',
        target='backbone.**.keep_ratio',
        by_epoch=True,
        schedule=dict(type='mask_plugins.LinearSchedule', start=1.0, end=0.5),
    ),
]
