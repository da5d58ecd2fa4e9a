_base_ = './kd-ema_resnet18-c40_cifar10.py'

model = dict(scope='head')
