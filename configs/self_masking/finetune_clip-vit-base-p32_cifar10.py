_base_ = [
    '../_base_/models/smn_finetune_clip-vit-base-p32.py',
    '../_base_/datasets/smn_cifar10_bs64_224.py',
    '../_base_/schedules/smn_finetune_adamw_32e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))

default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
