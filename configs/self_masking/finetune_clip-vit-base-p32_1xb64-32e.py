_base_ = [
    '../_base_/models/smn_finetune_clip-vit-base-p32.py',
    '../_base_/datasets/smn_bs64_224.py',
    '../_base_/schedules/smn_finetune_adamw_32e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(head=dict(num_classes=_base_.data_preprocessor.num_classes))
