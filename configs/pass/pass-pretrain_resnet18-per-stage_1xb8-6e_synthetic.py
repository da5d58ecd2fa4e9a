# The blocks of a stage share the parameters of one gate.
_base_ = ['./pass-pretrain_resnet18_1xb8-6e_synthetic.py']

model = dict(backbone=dict(place='stage'))
