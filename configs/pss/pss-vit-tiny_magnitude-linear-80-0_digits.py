_base_ = ['./pss-vit-tiny_baseline_digits.py']

custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.PSSHook',
        schedule=dict(
            type='mask_plugins.LinearSchedule',
            start=0.8,
            end=0.0,
            quantum=0.2,
            plateau='end',
        ),
    ),
]
