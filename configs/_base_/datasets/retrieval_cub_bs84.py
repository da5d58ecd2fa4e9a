# CUB-200-2011, zero-shot: the first 100 classes train, among the others
# all images of both official splits are queries and gallery.
dataset_type = 'CUB'
data_root = 'data/CUB_200_2011'
data_preprocessor = dict(
    num_classes=100,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=280, edge='short'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCrop', crop_size=280),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=280, edge='short'),
    dict(type='CenterCrop', crop_size=280),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=84,
    num_workers=4,
    persistent_workers=False,
    drop_last=True,
    dataset=dict(
        type='mask_plugins.ClassSplit',
        part='train',
        dataset=[
            dict(
                type=dataset_type,
                data_root=data_root,
                split='train',
                pipeline=train_pipeline,
            ),
            dict(
                type=dataset_type,
                data_root=data_root,
                split='test',
                pipeline=train_pipeline,
            ),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=84,
    num_workers=4,
    persistent_workers=False,
    dataset=dict(
        type='mask_plugins.ClassSplit',
        part='test',
        dataset=[
            dict(
                type=dataset_type,
                data_root=data_root,
                split='train',
                pipeline=test_pipeline,
            ),
            dict(
                type=dataset_type,
                data_root=data_root,
                split='test',
                pipeline=test_pipeline,
            ),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='mask_plugins.RetrievalMetrics', ks=(1, 2, 4, 8, 16, 32)
)

test_dataloader = val_dataloader
test_evaluator = val_evaluator
