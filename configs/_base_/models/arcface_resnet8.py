# ArcFace in place of HGSL.
_base_ = './hgsl_resnet8.py'

model = dict(
    head=dict(
        _delete_=True,
        type='ArcFaceClsHead',
        num_classes=5,
        in_channels=128,
        scale=16.0,
        margins=0.2,
    )
)
