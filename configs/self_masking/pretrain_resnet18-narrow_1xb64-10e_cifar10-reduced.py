# The backbone of the other reduced configs: trained on airplane to deer, 2,500
# images of each.
_base_ = [
    '../_base_/models/smn_finetune_resnet18_narrow.py',
    '../_base_/datasets/cifar10_5to9_reduced.py',
    '../_base_/schedules/smn_finetune_150e.py',
]

seen = [0, 1, 2, 3, 4]
model = dict(
    backbone=dict(rules=[('*', 'train')], module=dict(init_cfg=None)),
    head=dict(num_classes=_base_.data_preprocessor.num_classes),
)
train_dataloader = dict(dataset=dict(classes=seen, dataset=dict(size=25000)))
val_dataloader = dict(dataset=dict(classes=seen))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_cfg = dict(max_epochs=10, val_interval=5)
