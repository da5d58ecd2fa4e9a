_base_ = [
    '../_base_/models/smn_finetune_resnet18_narrow.py',
    '../_base_/datasets/cifar10_5to9_reduced.py',
    '../_base_/schedules/smn_finetune_150e.py',
]

pretrained = (
    'work_dirs/pretrain_resnet18-narrow_1xb64-10e_cifar10-reduced/epoch_10.pth'
)
model = dict(
    backbone=dict(module=dict(init_cfg=dict(checkpoint=pretrained))),
    head=dict(num_classes=_base_.data_preprocessor.num_classes),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
train_cfg = dict(max_epochs=20, val_interval=5)
