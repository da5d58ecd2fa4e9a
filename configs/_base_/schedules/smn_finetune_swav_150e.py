# Fine-tuning of all that would be masked, as the paper's baseline of SwAV.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.15, momentum=0.9, weight_decay=1e-6),
)
param_scheduler = dict(type='mask_plugins.WarmupCosineLR')

train_cfg = dict(by_epoch=True, max_epochs=150, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=64, enable=False)
