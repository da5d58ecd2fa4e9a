# The share that is kept falls epoch by epoch, linearly from all to half.
_base_ = ['./smn_resnet18_cifar10_topk.py']

custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.ScheduleHook',
        target='backbone.**.keep_ratio',
        by_epoch=True,
        schedule=dict(type='mask_plugins.LinearSchedule', start=1.0, end=0.5),
    ),
]
