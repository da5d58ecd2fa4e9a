_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

# A hidden layer; norm_cfg=dict(type='BN1d'), act_cfg and dropout_rate are
# options of the head.
model = dict(
    head=dict(
        type='StackedLinearClsHead',
        mid_channels=[256],
        dropout_rate=0.0,
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    )
)
