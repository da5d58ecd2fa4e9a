# The baseline of smn-swav: what would be masked is trained without labels.
_base_ = './smn-swav_efficientnet-lite0_1xb64-4e_cifar10-reduced.py'

model = dict(
    backbone=dict(
        rules=[
            ('*conv_pw*', 'train'),
            ('*conv_head*', 'train'),
            ('*', 'freeze'),
        ]
    )
)
optim_wrapper = dict(optimizer=dict(lr=2e-5))
