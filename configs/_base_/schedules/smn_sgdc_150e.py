# Scores: a rate of 50 without decay, 40 epochs of warm-up from 0, cosine.
_base_ = './smn_finetune_150e.py'

optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    optimizer=dict(
        type='mask_plugins.SGDConstantDecay', lr=50.0, weight_decay=0.0
    ),
)
param_scheduler = dict(warmup=40, cosine_after_warmup=True)
default_hooks = dict(mask_report=dict(type='mask_plugins.MaskReportHook'))
