_base_ = [
    '../_base_/models/smn_linear_probe_resnet18_narrow.py',
    '../_base_/datasets/digits_5to9_bs64.py',
    '../_base_/schedules/smn_linear_probe_100e.py',
]

pretrained = 'work_dirs/pretrain_resnet18-narrow_1xb64-15e_digits/epoch_15.pth'
model = dict(
    backbone=dict(module=dict(init_cfg=dict(checkpoint=pretrained))),
    head=dict(num_classes=_base_.data_preprocessor.num_classes),
)
train_cfg = dict(max_epochs=30)
