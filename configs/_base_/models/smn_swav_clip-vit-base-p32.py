# SwAV on the masks of smn_clip-vit-base-p32.
_base_ = './smn_clip-vit-base-p32.py'

model = dict(
    type='mask_plugins.SwAV',
    neck=dict(type='mask_plugins.ProjectionNeck', in_channels=768),
    head=dict(
        _delete_=True,
        type='mask_plugins.SwAVHead',
        num_prototypes=500,
        num_crops=[2, 6],
        queue_length=512,
    ),
)
