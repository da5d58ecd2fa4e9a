_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

model = dict(head=dict(type='mask_plugins.DropoutLinearClsHead', dropout=0.5))
