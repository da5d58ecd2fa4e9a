_base_ = [
    '../_base_/models/smn_linear_probe_resnet50.py',
    '../_base_/datasets/smn_ucf101_bs64_224.py',
    '../_base_/schedules/smn_linear_probe_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=101))

train_pipeline = _base_.probe_pipeline
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
