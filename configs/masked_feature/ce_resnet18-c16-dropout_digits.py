_base_ = './ce_resnet18-c16_digits.py'

model = dict(head=dict(type='mask_plugins.DropoutLinearClsHead', dropout=0.5))
