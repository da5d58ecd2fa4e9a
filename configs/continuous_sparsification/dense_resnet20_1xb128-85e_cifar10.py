_base_ = [
    '../_base_/models/cs_resnet20.py',
    '../_base_/datasets/cifar10_cs_bs128.py',
    '../_base_/schedules/dense_sgd_85e.py',
]

model = dict(backbone=dict(conv_cfg=None))
