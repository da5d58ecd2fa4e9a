_base_ = [
    '../_base_/models/hgsl_vit-base.py',
    '../_base_/datasets/retrieval_bs84.py',
    '../_base_/schedules/hgsl_sgd_100e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$HGSL_DATASET:cub}}'
model = dict(head=dict(num_classes=_base_.data_preprocessor.num_classes))

# 224 pixels, where the convolutional networks have 280.
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=224, edge='short'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=224, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
splits = _base_.train_dataloader.dataset.dataset
train_dataloader = dict(
    dataset=dict(
        dataset=[
            dict(splits[0], pipeline=train_pipeline),
            dict(splits[1], pipeline=train_pipeline),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        dataset=[
            dict(splits[0], pipeline=test_pipeline),
            dict(splits[1], pipeline=test_pipeline),
        ]
    )
)
test_dataloader = val_dataloader
