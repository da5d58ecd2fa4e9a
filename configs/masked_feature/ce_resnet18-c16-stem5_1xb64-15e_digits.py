_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

# A 5x5 stem.
model = dict(backbone=dict(type='mask_plugins.StemResNetCIFAR', stem_kernel=5))
