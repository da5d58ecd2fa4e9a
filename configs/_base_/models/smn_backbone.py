# Self-masking of the backbone of any model: its weights are frozen, a score
# per weight says which count. The share that is kept falls linearly from all
# to half. Taken by name: the base of a project has a model of its own.
masked_backbone = dict(
    type='mask_plugins.MaskedModel',
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
score_optim = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    paramwise_cfg=dict(masks=dict(lr=50.0, weight_decay=0.0)),
)
keep_ratio_hook = dict(
    type='mask_plugins.ScheduleHook',
    target='backbone.**.keep_ratio',
    schedule=dict(type='mask_plugins.LinearSchedule', start=1.0, end=0.5),
)
