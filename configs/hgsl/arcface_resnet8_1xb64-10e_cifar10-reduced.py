_base_ = [
    '../_base_/models/arcface_resnet8.py',
    '../_base_/datasets/retrieval_cifar10_reduced_bs64.py',
    '../_base_/schedules/retrieval_sgd_30e.py',
]

param_scheduler = dict(T_max=10)
train_cfg = dict(max_epochs=10)
