# Without relative position bias: the absolute embedding alone.
_base_ = ['./pss_vit-tiny_1xb128-baseline-100e_cifar10.py']

model = dict(backbone=dict(use_rel_pos_bias=False))
