_base_ = [
    '../_base_/models/smn_resnet50.py',
    '../_base_/datasets/smn_eurosat_bs64_224.py',
    '../_base_/schedules/smn_sgdc_150e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))

default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
