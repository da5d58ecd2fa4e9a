_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

model = dict(head=dict(type='mask_plugins.DropoutLinearClsHead', dropout=0.5))
