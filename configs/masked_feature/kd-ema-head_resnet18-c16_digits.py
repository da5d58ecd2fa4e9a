_base_ = './kd-ema_resnet18-c16_digits.py'

model = dict(scope='head')
