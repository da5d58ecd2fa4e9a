# Every token in every iteration: what the schedules are compared with.
_base_ = [
    '../_base_/models/pss_vit-tiny_cifar.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/adamw_cifar_100e.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(
    checkpoint=dict(
        interval=1, max_keep_ckpts=2, save_best='accuracy/top1', rule='greater'
    )
)
