_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

# Features pooled to 2 x 2 places instead of one.
model = dict(
    neck=dict(
        _delete_=True,
        type='mask_plugins.AdaptiveAveragePooling',
        output_size=2,
    ),
    head=dict(in_channels=512),
)
