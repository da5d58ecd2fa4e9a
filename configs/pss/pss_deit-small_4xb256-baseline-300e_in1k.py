# Every token in every iteration: what the schedule is compared with.
_base_ = [
    '../_base_/models/pss_deit-small.py',
    '../_base_/datasets/imagenet_bs256_deit_224.py',
    '../_base_/schedules/adamw_deit_300e.py',
]
