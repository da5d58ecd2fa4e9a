# The batch grows as tokens drop: a step has the tokens of 32 whole images.
_base_ = ['./pss_vit-tiny_1xb32-magnitude-cyclic-80-0-10e_cifar10-reduced.py']

train_dataloader = dict(
    batch_sampler=dict(type='mask_plugins.TokenBudgetSampler'),
)
pss_hook = dict(batch='budget')
custom_hooks = _base_.custom_hooks[:-1] + [
    {**_base_.custom_hooks[-1], **pss_hook}
]
