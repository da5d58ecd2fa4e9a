# SwAV's ResNet-50, trained without labels on ImageNet; masked as ResNet-18.
_base_ = './smn_resnet18.py'

pretrained = 'checkpoints/swav_800ep_pretrain.pth.tar'
model = dict(
    backbone=dict(module=dict(depth=50, init_cfg=dict(checkpoint=pretrained))),
    head=dict(in_channels=2048),
)
