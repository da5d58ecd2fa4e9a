# Minutes on two CPU cores.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = dict(
    type='mask_plugins.WarmupCosineLR',
    warmup=1,
    by_epoch=True,
    convert_to_iter_based=True,
)
train_cfg = dict(by_epoch=True, max_epochs=5, val_interval=5)
val_cfg = dict()
test_cfg = dict()
