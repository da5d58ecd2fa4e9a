# The schedule of hgsl_sgd_30e for losses without alpha.
_base_ = './hgsl_sgd_30e.py'

optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
custom_hooks = _base_.custom_hooks[:-1]
