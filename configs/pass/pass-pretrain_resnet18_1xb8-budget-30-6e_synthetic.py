_base_ = ['./pass-pretrain_resnet18_1xb8-6e_synthetic.py']

budget = 0.3
model = dict(head=dict(budget=budget))
*hooks, rise = _base_.custom_hooks
custom_hooks = [*hooks, dict(rise, schedule=dict(rise.schedule, end=budget))]
del hooks, rise
