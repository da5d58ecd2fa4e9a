# Zero-shot retrieval at 280 px: the first half of the classes trains, among
# the others all images of the official splits are queries and gallery. The
# children name the dataset.
data_preprocessor = dict(
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
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='mask_plugins.RetrievalMetrics', ks=(1, 2, 4, 8, 16, 32)
)

test_dataloader = val_dataloader
test_evaluator = val_evaluator
