_base_ = [
    './pss_simmim-vit-base-no-rpb_4xb128-baseline-100e_in1k.py',
    '../_base_/schedules/pss_cyclic-80-0.py',
]

custom_hooks = _base_.custom_hooks + [_base_.pss_hook]
