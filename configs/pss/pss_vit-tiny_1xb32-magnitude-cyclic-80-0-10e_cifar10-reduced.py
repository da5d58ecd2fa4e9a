_base_ = [
    './pss_vit-tiny_1xb32-baseline-10e_cifar10-reduced.py',
    '../_base_/schedules/pss_cyclic-80-0.py',
]

custom_hooks = _base_.custom_hooks + [_base_.pss_hook]
