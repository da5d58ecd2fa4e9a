_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

# Features pooled to 2 x 2 places instead of one.
model = dict(
    neck=dict(
        _delete_=True,
        type='mask_plugins.AdaptiveAveragePooling',
        output_size=2,
    ),
    head=dict(in_channels=1280),
)
