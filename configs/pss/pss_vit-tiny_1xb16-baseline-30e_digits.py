# Every token in every iteration: what the schedules are compared with.
_base_ = [
    '../_base_/models/pss_vit-tiny_digits.py',
    '../_base_/datasets/digits_bs16.py',
    '../_base_/schedules/adamw_digits_30e.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(
    logger=dict(interval=30),
    checkpoint=dict(
        interval=1, max_keep_ckpts=2, save_best='accuracy/top1', rule='greater'
    ),
)
