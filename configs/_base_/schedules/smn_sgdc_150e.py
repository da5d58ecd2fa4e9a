# Scores: a rate of 50 without decay, 40 epochs of warm-up from 0, cosine.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    optimizer=dict(
        type='mask_plugins.SGDConstantDecay',
        lr=50.0,
        momentum=0.9,
        weight_decay=0.0,
    ),
)
param_scheduler = dict(
    type='mask_plugins.WarmupCosineLR', warmup=40, cosine_after_warmup=True
)

train_cfg = dict(by_epoch=True, max_epochs=150, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=64, enable=False)
