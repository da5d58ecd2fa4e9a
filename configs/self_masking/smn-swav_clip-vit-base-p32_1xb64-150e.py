# The rate of the scores is that of smn_clip-vit-base-p32.
_base_ = [
    '../_base_/models/smn_swav_clip-vit-base-p32.py',
    '../_base_/datasets/smn_mcrop_bs64_224.py',
    '../_base_/schedules/smn_swav_150e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
optim_wrapper = dict(optimizer=dict(lr=10.0))
