_base_ = ['./hgsl-k1_resnet8_1xb64-30e_digits.py']

# HGSL on a softly masked network (Continuous Sparsification): a round of
# search, then the ticket from the weights of epoch 1.
model = dict(
    backbone=dict(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=-0.02)
    )
)
epochs_per_round = 15
ticket_epochs = 15
optim_wrapper = dict(
    constructor='mask_plugins.MaskOptimWrapperConstructor',
    paramwise_cfg=dict(masks=dict(lr=1.0, weight_decay=0.0)),
)
param_scheduler = dict(
    _delete_=True,
    type='mask_plugins.StagewiseMultiStepLR',
    stage_epochs=epochs_per_round,
    milestones=[9, 12],
    gamma=0.1,
)
default_hooks = dict(
    sparsification=dict(
        type='mask_plugins.ContinuousSparsificationHook',
        rounds=1,
        epochs_per_round=epochs_per_round,
        ticket_epochs=ticket_epochs,
        final_temperature=200.0,
        rewind_epoch=1,
        penalty=1e-8,
    )
)
find_unused_parameters = True
