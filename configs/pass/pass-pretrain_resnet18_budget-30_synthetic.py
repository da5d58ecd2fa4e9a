_base_ = ['./pass-pretrain_resnet18_synthetic.py']

budget = 0.3
model = dict(head=dict(budget=budget))
custom_hooks = _base_.custom_hooks[:-1] + [
    dict(
        type='mask_plugins.ScheduleHook',
        target='head.budget',
        schedule=dict(
            type='mask_plugins.LinearSchedule',
            start=0.0,
            end=budget,
            # The last epochs have the whole budget.
            cooldown=2,
        ),
        name='budget',
    ),
]
