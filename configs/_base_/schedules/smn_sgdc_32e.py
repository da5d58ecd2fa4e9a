# Scores of CLIP: a rate of 10, 32 epochs of cosine, no warm-up.
_base_ = './smn_finetune_150e.py'

optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    optimizer=dict(
        type='mask_plugins.SGDConstantDecay', lr=10.0, weight_decay=0.0
    ),
)
train_cfg = dict(max_epochs=32)
default_hooks = dict(mask_report=dict(type='mask_plugins.MaskReportHook'))
