# The small ticket of demo/checkpoints/.
_base_ = './cs_resnet20_1xb64-3x10e_digits.py'

model = dict(backbone=dict(depth=8))
