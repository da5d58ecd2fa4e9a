_base_ = './self-kd_resnet18-c16_digits.py'

model = dict(scope='head')
