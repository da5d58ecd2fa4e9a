_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

model = dict(backbone=dict(base_channels=64), head=dict(in_channels=512))
