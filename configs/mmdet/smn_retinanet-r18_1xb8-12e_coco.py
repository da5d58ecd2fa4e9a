# A self-masking detector: the pretrained weights of the backbone are frozen,
# a score per weight says which count. The share that is kept falls linearly
# from all to half.
_base_ = '../_base_/mmdet/retinanet-r18_coco.py'

model = dict(
    _delete_=True,
    type='mask_plugins.MaskedModel',
    module=_base_.model,  # noqa: F821
    rules=[
        ('backbone.*conv*', 'mask'),
        ('backbone.*downsample.0.weight', 'mask'),
        ('backbone.*', 'freeze'),
        ('*', 'train'),
    ],
    mask=dict(
        type='mask_plugins.ScoreMask', init='magnitude', criterion='topk'
    ),
)
optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    paramwise_cfg=dict(masks=dict(lr=50.0, weight_decay=0.0)),
)
custom_hooks = [
    *_base_.custom_hooks,  # noqa: F821
    dict(
        type='mask_plugins.ScheduleHook',
        target='backbone.**.keep_ratio',
        schedule=dict(type='mask_plugins.LinearSchedule', start=1.0, end=0.5),
    ),
]
