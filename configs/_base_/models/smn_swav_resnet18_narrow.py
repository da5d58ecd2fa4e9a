# SwAV on the masks of smn_resnet18_narrow; four small crops. At the paper's
# epsilon of 0.05 the loss of networks this small stays at log(50), that of
# even predictions.
_base_ = './smn_resnet18_narrow.py'

model = dict(
    type='mask_plugins.SwAV',
    neck=dict(
        _delete_=True,
        type='mask_plugins.ProjectionNeck',
        in_channels=128,
        out_channels=64,
    ),
    head=dict(
        _delete_=True,
        type='mask_plugins.SwAVHead',
        in_channels=64,
        num_prototypes=50,
        num_crops=[2, 4],
        queue_length=512,
        epsilon=0.03,
    ),
)
