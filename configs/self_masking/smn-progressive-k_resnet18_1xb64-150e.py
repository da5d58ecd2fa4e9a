# The share that is kept falls epoch by epoch, linearly from all to half.
_base_ = './smn-topk_resnet18_1xb64-150e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.ScheduleHook',
        target='backbone.**.keep_ratio',
        by_epoch=True,
        schedule=dict(type='mask_plugins.LinearSchedule', start=1.0, end=0.5),
    ),
]
