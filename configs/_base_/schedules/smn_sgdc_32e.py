# Scores of CLIP: a rate of 10, 32 epochs of cosine, no warm-up.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    optimizer=dict(
        type='mask_plugins.SGDConstantDecay',
        lr=10.0,
        momentum=0.9,
        weight_decay=0.0,
    ),
)
param_scheduler = dict(type='mask_plugins.WarmupCosineLR')

train_cfg = dict(by_epoch=True, max_epochs=32, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=64, enable=False)
