# The baseline of smn: what would be masked is trained.
_base_ = [
    '../_base_/models/smn_efficientnet-lite0.py',
    '../_base_/datasets/cifar10_96px_reduced.py',
    '../_base_/schedules/smn_adam_4e.py',
]

model = dict(
    backbone=dict(
        rules=[
            ('*conv_pw*', 'train'),
            ('*conv_head*', 'train'),
            ('*', 'freeze'),
        ]
    )
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
