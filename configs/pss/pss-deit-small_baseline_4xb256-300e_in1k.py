# Every token in every iteration: what the schedule is compared with.
_base_ = [
    '../_base_/models/pss_deit-small.py',
    '../_base_/datasets/imagenet_bs256_deit_224.py',
    '../_base_/schedules/adamw_deit_300e.py',
    '../_base_/default_runtime.py',
]

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
