_base_ = './cs_resnet20_cifar10.py'

# Denser: logits begin above the threshold.
model = dict(backbone=dict(conv_cfg=dict(mask_init=0.1)))
