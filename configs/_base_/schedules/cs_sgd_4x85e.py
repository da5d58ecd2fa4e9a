# Three rounds of search and the ticket phase, 85 epochs each; the rates start
# again in each of them. The hook is one of the default hooks, where it has a
# name: --cfg-options default_hooks.sparsification.penalty=1e-7
_base_ = '../default_runtime.py'

rounds = 3
epochs_per_round = 85
ticket_epochs = 85

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
    ),
    paramwise_cfg=dict(masks=dict(lr=0.1, weight_decay=0.0)),
)
param_scheduler = dict(
    type='mask_plugins.StagewiseMultiStepLR',
    stage_epochs=epochs_per_round,
    milestones=[56, 71],
    gamma=0.1,
)

train_cfg = dict(
    by_epoch=True,
    max_epochs=rounds * epochs_per_round + ticket_epochs,
    val_interval=1,
)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(
    mask_report=dict(type='mask_plugins.MaskReportHook'),
    checkpoint=dict(interval=5, max_keep_ckpts=2),
    sparsification=dict(
        type='mask_plugins.ContinuousSparsificationHook',
        rounds=rounds,
        epochs_per_round=epochs_per_round,
        ticket_epochs=ticket_epochs,
        final_temperature=200.0,
        rewind_epoch=2,
        penalty=1e-8,
    ),
)

# Under DistributedDataParallel: the logits get no gradient in a ticket phase.
find_unused_parameters = True

auto_scale_lr = dict(base_batch_size=128, enable=False)
