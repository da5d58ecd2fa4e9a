_base_ = [
    '../_base_/models/hgsl_resnet8.py',
    '../_base_/datasets/retrieval_cifar10_bs128.py',
    '../_base_/schedules/hgsl_sgd_30e.py',
]

# For a GPU.
model = dict(
    backbone=dict(
        _delete_=True, type='ResNet_CIFAR', depth=18, out_indices=(3,)
    ),
    head=dict(in_channels=1024),
)
param_scheduler = dict(T_max=100)
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=128)
