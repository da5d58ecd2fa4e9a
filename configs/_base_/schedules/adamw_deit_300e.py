# DeiT: 4 GPUs x 256 images, rate 5e-4 per 512; it moves once per epoch.
# (The original steps it after the epoch of the same number, so each of its
# rates comes one epoch later.)
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',
    optimizer=dict(
        type='AdamW',
        lr=5e-4 * 1024 / 512,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.05,
    ),
    paramwise_cfg=dict(
        # Flat tensors (norms, biases) do not decay; the tables of the
        # relative position bias have two dimensions, and do.
        flat_decay_mult=0.0,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = dict(
    type='mask_plugins.WarmupCosineLR',
    warmup=5,
    warmup_lr=1e-6,
    eta_min=1e-5,
    by_epoch=True,
)

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=1024, enable=False)

default_hooks = dict(
    checkpoint=dict(
        interval=1, max_keep_ckpts=2, save_best='accuracy/top1', rule='greater'
    )
)
custom_hooks = _base_.custom_hooks + [
    # The original keeps this average (decay 0.99996) and never evaluates it.
    dict(
        type='EMAHook',
        momentum=4e-5,
        evaluate_on_ema=False,
        evaluate_on_origin=True,
    ),
]
