_base_ = ['./pss-vit-base_simmim_baseline_4xb128-100e_in1k.py']

model = dict(backbone=dict(scorer='random'))
custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.PSSHook',
        schedule=dict(
            type='mask_plugins.CyclicSchedule',
            start=0.8,
            end=0.0,
            quantum=0.2,
            plateau='end',
        ),
    ),
]
