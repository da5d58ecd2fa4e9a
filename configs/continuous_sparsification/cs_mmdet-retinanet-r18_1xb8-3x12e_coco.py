# Detection, in an environment with mmdet and the full mmcv: its ResNet-18
# RetinaNet (1 GPU x 8 images), the backbone masked by its own conv_cfg.
#   mim train mmdet THIS_FILE
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1xb8-1x_coco.py'

# Frozen layers would keep the logits they start with, of which a ticket keeps
# nothing; frozen statistics would not absorb the scale of the masks.
model = dict(
    backbone=dict(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=0.0),
        frozen_stages=-1,
        norm_eval=False,
    )
)

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    *_base_.train_pipeline,  # noqa: F821
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

rounds = 2
epochs_per_round = 12
ticket_epochs = 12
optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    paramwise_cfg=dict(masks=dict(lr=0.1, weight_decay=0.0)),
)
# The stock warm-up, once; the stock milestones, in every stage.
param_scheduler = [
    _base_.param_scheduler[0],  # noqa: F821
    dict(
        type='mask_plugins.StagewiseMultiStepLR',
        stage_epochs=epochs_per_round,
        milestones=[8, 11],
        gamma=0.1,
    ),
]
train_cfg = dict(max_epochs=rounds * epochs_per_round + ticket_epochs)

default_hooks = dict(
    checkpoint=dict(type='mask_plugins.SafeCheckpointHook', max_keep_ckpts=2),
    sparsification=dict(
        type='mask_plugins.ContinuousSparsificationHook',
        rounds=rounds,
        epochs_per_round=epochs_per_round,
        ticket_epochs=ticket_epochs,
        rewind_epoch=1,
    ),
)
custom_hooks = [
    dict(type='mask_plugins.SeedHook'),
    dict(type='mask_plugins.TrainLogHook'),
]
find_unused_parameters = True
randomness = dict(seed=0, deterministic=False)
