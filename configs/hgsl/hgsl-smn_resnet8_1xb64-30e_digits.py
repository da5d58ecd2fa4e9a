_base_ = ['./hgsl-k1_resnet8_1xb64-30e_digits.py']

# HGSL that trains bits alone (Self-Masking Networks): the convolutions of the
# softmax baseline are frozen and masked.
model = dict(
    backbone=dict(
        _delete_=True,
        type='mask_plugins.MaskedModel',
        module=dict(
            type='mask_plugins.CIFARResNet',
            depth=8,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='work_dirs/softmax_resnet8_1xb64-30e_digits/epoch_30.pth',
                prefix='backbone.',
            ),
        ),
        rules=[('*conv*', 'mask'), ('*downsample*', 'mask'), ('*', 'freeze')],
        mask=dict(type='mask_plugins.ScoreMask', init=1.0, threshold=0.0),
    )
)
optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    paramwise_cfg=dict(masks=dict(lr=50.0)),
)
