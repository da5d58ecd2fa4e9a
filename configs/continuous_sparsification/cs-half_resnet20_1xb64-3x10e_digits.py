_base_ = './cs_resnet20_1xb64-3x10e_digits.py'

# A ticket of exactly half of the weights. Logits begin where the search alone
# removes about half: 80 % with 0.0, 19 % with 0.02.
model = dict(backbone=dict(conv_cfg=dict(mask_init=0.01)))
default_hooks = dict(sparsification=dict(target_sparsity=0.5))
