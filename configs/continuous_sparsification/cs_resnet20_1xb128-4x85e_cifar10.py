_base_ = [
    '../_base_/models/cs_resnet20.py',
    '../_base_/datasets/cifar10_cs_bs128.py',
    '../_base_/schedules/cs_sgd_4x85e.py',
]
