_base_ = ['./pss-deit-small_baseline_4xb128-300e_in1k-384px.py']

custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.PSSHook',
        schedule=dict(
            type='mask_plugins.CyclicSchedule',
            start=0.8,
            end=0.0,
            quantum=0.2,
            plateau='end',
            # as published: every token in the last 10 epochs
            cooldown=10,
        ),
    ),
]
