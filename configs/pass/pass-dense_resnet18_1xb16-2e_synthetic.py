# Step 0: the network without gates, on single frames. In practice these are
# the weights that you have.
_base_ = [
    '../_base_/models/pass_resnet18.py',
    '../_base_/datasets/synthetic_clips_64px.py',
    '../_base_/schedules/pass_adamw_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(running_mode='BackboneTrain')
# 16 clips of 2 frames: 32 images.
train_dataloader = dict(dataset=dict(num_clips=1200, clip_len=2))
train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = dict(warmup=0)
default_hooks = dict(logger=dict(interval=25))
