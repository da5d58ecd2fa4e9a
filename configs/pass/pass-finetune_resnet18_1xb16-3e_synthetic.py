# Step 2: the network learns to live with its frozen gates.
_base_ = [
    '../_base_/models/pass_resnet18.py',
    '../_base_/datasets/synthetic_clips_64px.py',
    '../_base_/schedules/pass_adamw_5e.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/pass-pretrain_resnet18_1xb8-6e_synthetic/epoch_6.pth'
model = dict(running_mode='FineTuning', compare_dense=True)
custom_hooks = _base_.custom_hooks + [
    dict(type='mask_plugins.RunningModeHook', mode='FineTuning'),
]
train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = dict(warmup=0)
default_hooks = dict(logger=dict(interval=10))
