# The small network of demo/checkpoints/, before its gates.
_base_ = [
    '../_base_/models/pass_resnet8.py',
    '../_base_/datasets/synthetic_clips_64px.py',
    '../_base_/schedules/pass_adamw_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(running_mode='BackboneTrain')
scene = dict(image_size=32, object_size=(8, 12))
train_dataloader = dict(dataset=dict(num_clips=1200, clip_len=2, **scene))
val_dataloader = dict(dataset=dict(**scene))
test_dataloader = dict(dataset=dict(**scene))
train_cfg = dict(max_epochs=6, val_interval=2)
param_scheduler = dict(warmup=0)
default_hooks = dict(logger=dict(interval=25))
