# A share of every tensor is kept: half, or SMN_KEEP.
_base_ = './smn-swav_resnet50_1xb64-150e.py'

work_dir = (
    'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
    '_{{$SMN_KEEP:0.5}}'
)
model = dict(
    backbone=dict(
        mask=dict(
            init='kaiming',
            criterion='topk',
            keep_ratio=float('{{$SMN_KEEP:0.5}}'),
        )
    )
)
