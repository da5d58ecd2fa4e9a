# DeiT-S from scratch at 384 px: 576 patches and the class token.
_base_ = [
    '../_base_/models/pss_deit-small.py',
    '../_base_/datasets/imagenet_bs128_deit_384.py',
    '../_base_/schedules/adamw_deit_300e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=384))
# 4 GPUs x 128 images
optim_wrapper = dict(optimizer=dict(lr=5e-4 * 512 / 512))
auto_scale_lr = dict(base_batch_size=512)
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
