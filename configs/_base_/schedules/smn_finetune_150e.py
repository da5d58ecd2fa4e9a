# Fine-tuning of all that would be masked: the paper's baseline of ResNet-18.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = dict(type='mask_plugins.WarmupCosineLR')

train_cfg = dict(by_epoch=True, max_epochs=150, val_interval=1)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=64, enable=False)
