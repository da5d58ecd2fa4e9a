# A linear head on frozen features. The original solves a convex problem with
# next to no penalty (0.01 / images); SGD without decay goes towards it.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0),
)
param_scheduler = dict(type='mask_plugins.WarmupCosineLR')

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=64, enable=False)
