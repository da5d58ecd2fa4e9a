_base_ = [
    '../_base_/models/smn_efficientnet-lite0.py',
    '../_base_/datasets/cifar10_96px_reduced.py',
    '../_base_/schedules/smn_adam_4e.py',
]

default_hooks = dict(mask_report=dict(type='mask_plugins.MaskReportHook'))
