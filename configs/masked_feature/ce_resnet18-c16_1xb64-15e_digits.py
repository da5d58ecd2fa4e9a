_base_ = [
    '../_base_/models/mf_resnet18-c16.py',
    '../_base_/datasets/mf_digits_bs64.py',
    '../_base_/schedules/mf_sgd_digits_15e.py',
]
