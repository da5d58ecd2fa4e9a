# SwAV on masks: the backbone of smn_resnet50, a linear projection and 500
# prototypes, which are trained and thrown away. SMN_INIT chooses the weights
# that it starts from.
_base_ = './smn_resnet50.py'

init = '{{$SMN_INIT:swav}}'
files = dict(
    swav='checkpoints/swav_800ep_pretrain.pth.tar',
    dino='checkpoints/dino_resnet50.pth',
    supervised='checkpoints/resnet50.pth',
)
if init not in files:
    raise ValueError(f'SMN_INIT={init}: choose from {", ".join(files)}')
model = dict(
    type='mask_plugins.SwAV',
    backbone=dict(module=dict(init_cfg=dict(checkpoint=files[init]))),
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
del files
