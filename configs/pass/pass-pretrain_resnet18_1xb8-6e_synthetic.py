# Step 1: gates learn without labels, behind frozen weights. Start it from
# trained weights with
#   --cfg-options \
#   load_from=work_dirs/pass-dense_resnet18_1xb16-2e_synthetic/epoch_2.pth
_base_ = [
    '../_base_/models/pass_resnet18.py',
    '../_base_/datasets/synthetic_clips_64px.py',
    '../_base_/schedules/pass_adamw_5e.py',
    '../_base_/default_runtime.py',
]

budget = 0.5
model = dict(
    _delete_=True,
    type='mask_plugins.PASSPretrainer',
    backbone=dict(
        type='mask_plugins.GatedResNet',
        depth=18,
        zero_init_residual=False,
        gate=_base_.gate,
        patch_sizes=(2, 2, 2, 2),
    ),
    head=dict(
        type='mask_plugins.PASSLoss',
        margin=200.0,
        budget=budget,
        budget_weight=1000.0,
    ),
)
custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.ScheduleHook',
        target='head.budget',
        schedule=dict(
            type='mask_plugins.LinearSchedule',
            start=0.0,
            end=budget,
            # The last epochs have the whole budget.
            cooldown=2,
        ),
        name='budget',
    ),
]
train_dataloader = dict(batch_size=8, dataset=dict(num_clips=160))
# No labels, no validation.
train_cfg = dict(_delete_=True, by_epoch=True, max_epochs=6)
val_dataloader = None
val_evaluator = None
val_cfg = None
test_dataloader = None
test_evaluator = None
test_cfg = None
# Gates are small and start as little more than a constant.
optim_wrapper = dict(optimizer=dict(lr=3e-2, weight_decay=0.0))
default_hooks = dict(logger=dict(interval=10))
