# A short adaptation on a CPU: Adam, four epochs, statistics of the norms kept.
_base_ = './smn_finetune_150e.py'

optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    optimizer=dict(_delete_=True, type='Adam', lr=1e-3),
    paramwise_cfg=dict(head=dict(lr=1e-3)),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mask_plugins.ChannelsLastHook'),
    dict(type='mask_plugins.NormEvalHook'),
]
train_cfg = dict(max_epochs=4, val_interval=4)
