_base_ = ['./pss-vit-tiny_baseline_digits.py']

custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.PSSHook',
        schedule=dict(type='mask_plugins.ConstantSchedule', start=0.4),
    ),
]
