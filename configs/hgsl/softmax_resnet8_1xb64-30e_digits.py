_base_ = [
    '../_base_/models/softmax_resnet8.py',
    '../_base_/datasets/retrieval_digits_bs64.py',
    '../_base_/schedules/retrieval_sgd_30e.py',
]
