# Without relative position bias: the absolute embedding alone.
_base_ = ['./pss-vit-tiny_baseline_cifar10.py']

model = dict(backbone=dict(use_rel_pos_bias=False))
