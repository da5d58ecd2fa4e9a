# Softmax cross entropy in place of HGSL.
_base_ = './hgsl_resnet8.py'

model = dict(
    head=dict(
        _delete_=True,
        type='LinearClsHead',
        num_classes=5,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss'),
    )
)
