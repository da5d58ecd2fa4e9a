# The baseline of smn-swav: what would be masked is trained without labels.
_base_ = [
    '../_base_/models/smn_swav_resnet50.py',
    '../_base_/datasets/smn_mcrop_bs64_224.py',
    '../_base_/schedules/smn_finetune_selfsup_150e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(
    backbone=dict(
        rules=[
            ('*conv*', 'train'),
            ('*downsample*', 'train'),
            ('*', 'freeze'),
        ]
    )
)
