_base_ = [
    '../_base_/models/hgsl_resnet8.py',
    '../_base_/datasets/retrieval_digits_bs64.py',
    '../_base_/schedules/hgsl_sgd_30e.py',
]
