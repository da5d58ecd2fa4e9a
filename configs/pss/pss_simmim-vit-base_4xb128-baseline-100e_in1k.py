# Every token in every iteration: what the schedules are compared with.
_base_ = [
    '../_base_/models/pss_vit-base.py',
    '../_base_/datasets/imagenet_bs128_simmim_224.py',
    '../_base_/schedules/adamw_simmim_100e.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(interval=25, save_last=True))
