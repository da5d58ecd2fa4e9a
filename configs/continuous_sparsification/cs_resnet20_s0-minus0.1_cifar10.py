_base_ = './cs_resnet20_cifar10.py'

# Sparser: logits begin further below the threshold.
model = dict(backbone=dict(conv_cfg=dict(mask_init=-0.1)))
