# Without the relative position bias, which the original found decisive.
_base_ = ['./pss-vit-tiny_baseline_digits.py']

model = dict(backbone=dict(use_rel_pos_bias=False))
