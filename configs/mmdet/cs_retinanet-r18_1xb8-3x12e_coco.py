# Continuous Sparsification of a detector: the backbone is masked by its own
# conv_cfg, 2 rounds and the ticket of 12 epochs each.
_base_ = '../_base_/mmdet/retinanet-r18_coco.py'

model = dict(
    backbone=dict(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=0.0)
    )
)

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
    sparsification=dict(
        type='mask_plugins.ContinuousSparsificationHook',
        rounds=rounds,
        epochs_per_round=epochs_per_round,
        ticket_epochs=ticket_epochs,
        rewind_epoch=1,
    ),
)
find_unused_parameters = True
