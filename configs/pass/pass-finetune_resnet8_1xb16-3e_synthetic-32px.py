# The network learns to live with its frozen gates.
_base_ = ['./pass-dense_resnet8_1xb16-6e_synthetic-32px.py']

load_from = (
    'work_dirs/pass-pretrain_resnet8_1xb8-6e_synthetic-32px/epoch_6.pth'
)
model = dict(running_mode='FineTuning', compare_dense=True)
custom_hooks = _base_.custom_hooks + [
    dict(type='mask_plugins.RunningModeHook', mode='FineTuning'),
]
train_dataloader = dict(dataset=dict(num_clips=320, clip_len=4))
train_cfg = dict(max_epochs=3, val_interval=3)
