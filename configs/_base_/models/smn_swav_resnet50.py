# SwAV on masks: the backbone of smn_resnet50, a linear projection and 500
# prototypes, which are trained and thrown away.
_base_ = './smn_resnet50.py'

model = dict(
    type='mask_plugins.SwAV',
    neck=dict(
        _delete_=True, type='mask_plugins.ProjectionNeck', in_channels=2048
    ),
    head=dict(
        _delete_=True,
        type='mask_plugins.SwAVHead',
        num_prototypes=500,
        num_crops=[2, 6],
        queue_length=512,
    ),
)
