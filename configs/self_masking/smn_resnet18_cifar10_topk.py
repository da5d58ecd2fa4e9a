# A share of every tensor is kept, that which thresholds end at on CIFAR-10.
_base_ = ['./smn_resnet18_cifar10.py']

model = dict(
    backbone=dict(
        mask=dict(init='kaiming', criterion='topk', keep_ratio=0.914)
    )
)
