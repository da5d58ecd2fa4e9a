_base_ = [
    './pss_vit-tiny-no-rpb_1xb128-baseline-100e_cifar10.py',
    '../_base_/schedules/pss_cyclic-80-0.py',
]

custom_hooks = _base_.custom_hooks + [_base_.pss_hook]
