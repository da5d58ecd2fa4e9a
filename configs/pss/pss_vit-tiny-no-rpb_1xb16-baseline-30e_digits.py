# Without the relative position bias, which the original found decisive.
_base_ = ['./pss_vit-tiny_1xb16-baseline-30e_digits.py']

model = dict(backbone=dict(use_rel_pos_bias=False))
