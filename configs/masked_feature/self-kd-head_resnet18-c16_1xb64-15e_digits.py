_base_ = './self-kd_resnet18-c16_1xb64-15e_digits.py'

model = dict(scope='head')
