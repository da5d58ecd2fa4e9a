_base_ = [
    '../_base_/models/cs_resnet20.py',
    '../_base_/datasets/digits_8px_bs64.py',
    '../_base_/schedules/cs_sgd_4x85e.py',
]

# Digits on two CPU cores, in a minute. A round has 230 iterations where the
# paper's has 30,000: the logits take longer steps, and begin lower.
model = dict(backbone=dict(conv_cfg=dict(mask_init=-0.02)))

rounds = 2
epochs_per_round = 10
ticket_epochs = 10
optim_wrapper = dict(paramwise_cfg=dict(masks=dict(lr=1.0)))
param_scheduler = dict(stage_epochs=epochs_per_round, milestones=[6, 8])
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
auto_scale_lr = dict(base_batch_size=64)
