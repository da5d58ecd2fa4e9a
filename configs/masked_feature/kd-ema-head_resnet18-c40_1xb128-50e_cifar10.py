_base_ = './kd-ema_resnet18-c40_1xb128-50e_cifar10.py'

model = dict(scope='head')
