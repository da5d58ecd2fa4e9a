# The baseline of smn: what would be masked is trained.
_base_ = [
    '../_base_/models/smn_efficientnet-lite0.py',
    '../_base_/datasets/cifar10_64px_reduced.py',
    '../_base_/schedules/smn_finetune_150e.py',
]

model = dict(
    backbone=dict(rules=[('*conv*', 'train'), ('*', 'freeze')]),
    head=dict(
        _delete_=True, type='LinearClsHead', num_classes=10, in_channels=1280
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
train_cfg = dict(max_epochs=4, val_interval=4)
