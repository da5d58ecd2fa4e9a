# SwAV on the masks of smn_efficientnet-lite0.
_base_ = './smn_efficientnet-lite0.py'

model = dict(
    type='mask_plugins.SwAV',
    neck=dict(
        _delete_=True, type='mask_plugins.ProjectionNeck', in_channels=1280
    ),
    head=dict(
        _delete_=True,
        type='mask_plugins.SwAVHead',
        num_prototypes=50,
        num_crops=[2],
        queue_length=512,
    ),
)
