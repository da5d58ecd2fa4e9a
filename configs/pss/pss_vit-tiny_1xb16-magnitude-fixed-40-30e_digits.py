_base_ = [
    './pss_vit-tiny_1xb16-baseline-30e_digits.py',
    '../_base_/schedules/pss_fixed-40.py',
]

custom_hooks = _base_.custom_hooks + [_base_.pss_hook]
