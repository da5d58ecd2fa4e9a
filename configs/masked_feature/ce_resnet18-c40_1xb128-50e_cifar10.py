_base_ = [
    '../_base_/models/mf_resnet18-c40.py',
    '../_base_/datasets/mf_cifar10_bs128.py',
    '../_base_/schedules/mf_sgd_50e.py',
]
