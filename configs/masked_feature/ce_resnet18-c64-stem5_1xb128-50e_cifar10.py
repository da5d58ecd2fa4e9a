_base_ = './ce_resnet18-c64_1xb128-50e_cifar10.py'

model = dict(backbone=dict(type='mask_plugins.StemResNetCIFAR', stem_kernel=5))
