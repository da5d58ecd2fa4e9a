# Fine-tuning of CLIP, as the paper's baseline.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=5e-4,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.2,
    ),
)
param_scheduler = dict(type='mask_plugins.WarmupCosineLR')

train_cfg = dict(by_epoch=True, max_epochs=32, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=64, enable=False)
