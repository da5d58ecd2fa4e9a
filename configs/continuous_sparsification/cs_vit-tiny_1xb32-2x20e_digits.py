_base_ = [
    '../_base_/models/pss_vit-tiny_digits.py',
    '../_base_/datasets/digits_bs16.py',
    '../_base_/schedules/cs_sgd_4x85e.py',
]

# Linear layers of a transformer: every weight matrix of the blocks has a soft
# mask. No norm absorbs the constant of a ticket, so what it keeps counts as it
# is.
model = dict(
    backbone=dict(
        _delete_=True,
        type='mask_plugins.MaskedModel',
        module=_base_.model.backbone,
        rules=[('re:layers.*(qkv|proj|layers).*weight', 'mask')],
        mask=dict(type='mask_plugins.SoftMask', init=0.0, ticket_scale='one'),
    )
)
train_dataloader = dict(batch_size=32)

rounds = 1
epochs_per_round = 20
ticket_epochs = 20
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(masks=dict(lr=0.01, weight_decay=0.0)),
)
param_scheduler = dict(stage_epochs=epochs_per_round, milestones=[12, 17])
train_cfg = dict(max_epochs=rounds * epochs_per_round + ticket_epochs)
default_hooks = dict(
    checkpoint=dict(interval=1),
    sparsification=dict(
        rounds=rounds,
        epochs_per_round=epochs_per_round,
        ticket_epochs=ticket_epochs,
        rewind_epoch=1,
    ),
)
auto_scale_lr = dict(base_batch_size=32)
