# Segmentation, in an environment with mmsegmentation and the full mmcv: its
# ResNet-18 FCN on Cityscapes, the backbone masked by its own conv_cfg.
#   mim train mmseg THIS_FILE --launcher pytorch --gpus 4
_base_ = 'mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'

model = dict(
    backbone=dict(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=0.0)
    )
)

# The hook counts epochs, mmseg iterations: 36 epochs of 371 on 4 GPUs in each
# stage are a sixth of the stock run.
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    *_base_.train_pipeline,  # noqa: F821
]
train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)

rounds = 2
epochs_per_round = 36
ticket_epochs = 36
optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    paramwise_cfg=dict(masks=dict(lr=0.1, weight_decay=0.0)),
)
param_scheduler = dict(
    _delete_=True,
    type='mask_plugins.StagewiseMultiStepLR',
    stage_epochs=epochs_per_round,
    milestones=[0.66, 0.84],
    gamma=0.1,
)
train_cfg = dict(
    _delete_=True,
    by_epoch=True,
    max_epochs=rounds * epochs_per_round + ticket_epochs,
    val_interval=6,
)
log_processor = dict(by_epoch=True)

default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    checkpoint=dict(
        type='mask_plugins.SafeCheckpointHook',
        by_epoch=True,
        interval=1,
        max_keep_ckpts=2,
    ),
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
