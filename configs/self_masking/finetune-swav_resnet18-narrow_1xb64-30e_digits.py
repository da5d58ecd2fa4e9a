# The baseline of smn-swav: what would be masked is trained without labels.
_base_ = './smn-swav_resnet18-narrow_1xb64-30e_digits.py'

model = dict(
    backbone=dict(
        rules=[
            ('*conv*', 'train'),
            ('*downsample*', 'train'),
            ('*', 'freeze'),
        ]
    )
)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='SGD',
        lr=0.15,
        momentum=0.9,
        weight_decay=1e-6,
    )
)
default_hooks = dict(mask_report=None)
