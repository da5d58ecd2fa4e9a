# A share of every tensor is kept, that which thresholds end at on CIFAR-10.
_base_ = './smn_resnet18_1xb64-150e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(
    backbone=dict(
        mask=dict(init='kaiming', criterion='topk', keep_ratio=0.914)
    )
)
