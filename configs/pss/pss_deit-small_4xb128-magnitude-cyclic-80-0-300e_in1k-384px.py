_base_ = [
    './pss_deit-small_4xb128-baseline-300e_in1k-384px.py',
    '../_base_/schedules/pss_cyclic-80-0.py',
]

# as published: every token in the last 10 epochs
custom_hooks = _base_.custom_hooks + [
    dict(_base_.pss_hook, schedule=dict(_base_.pss_hook.schedule, cooldown=10))
]
