# Continuous Sparsification of a segmentor: the backbone is masked by its own
# conv_cfg. The hook counts epochs, mmseg iterations: 36 epochs of 371 on 4
# GPUs in each stage are a sixth of the stock run.
_base_ = '../_base_/mmseg/fcn-r18_cityscapes.py'

model = dict(
    backbone=dict(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=0.0)
    )
)
train_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=True))

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
    checkpoint=dict(by_epoch=True, interval=1),
    sparsification=dict(
        type='mask_plugins.ContinuousSparsificationHook',
        rounds=rounds,
        epochs_per_round=epochs_per_round,
        ticket_epochs=ticket_epochs,
        rewind_epoch=1,
    ),
)
find_unused_parameters = True
