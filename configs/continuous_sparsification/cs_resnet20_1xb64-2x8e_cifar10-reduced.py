_base_ = [
    '../_base_/models/cs_resnet20.py',
    '../_base_/datasets/cifar10_reduced_bs64.py',
    '../_base_/schedules/cs_sgd_4x85e.py',
]

# A trial on a CPU: a tenth of the images, one round of 8 epochs, 8 of the
# ticket; the logits take longer steps than the paper's.
rounds = 1
epochs_per_round = 8
ticket_epochs = 8
optim_wrapper = dict(paramwise_cfg=dict(masks=dict(lr=1.0)))
param_scheduler = dict(stage_epochs=epochs_per_round, milestones=[5, 7])
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
