_base_ = [
    '../_base_/models/hgsl_resnet8.py',
    '../_base_/datasets/retrieval_cifar10_reduced_bs64.py',
    '../_base_/schedules/hgsl_sgd_30e.py',
]

# Its numbers are of the reduced data: 500 training images of each class.
param_scheduler = dict(T_max=10)
train_cfg = dict(max_epochs=10)
