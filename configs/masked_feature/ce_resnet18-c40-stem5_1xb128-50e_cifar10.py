_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

# A 5x5 stem.
model = dict(backbone=dict(type='mask_plugins.StemResNetCIFAR', stem_kernel=5))
