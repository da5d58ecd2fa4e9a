# Fine-grained retrieval, zero-shot: the first half of the classes trains; of
# the other half, all images of both official splits are queries and gallery.
# One data set by environment variable:
#   HGSL_DATASET=cars mim train mmpretrain configs/hgsl/...
dataset_name = '{{$HGSL_DATASET:cub}}'
sources = dict(
    cub=dict(
        train_classes=100,
        splits=('train', 'test'),
        type='CUB',
        data_root='data/CUB_200_2011',
    ),
    cars=dict(
        train_classes=98,
        splits=('train', 'test'),
        type='StanfordCars',
        data_root='data/stanfordcars',
    ),
    aircraft=dict(
        train_classes=50,
        splits=('trainval', 'test'),
        type='FGVCAircraft',
        data_root='data/fgvc-aircraft-2013b',
    ),
    flowers=dict(
        train_classes=51,
        splits=('trainval', 'test'),
        type='Flowers102',
        data_root='data/flowers102',
    ),
)
if dataset_name not in sources:
    raise ValueError(
        f'HGSL_DATASET={dataset_name}: choose from {", ".join(sources)}'
    )
source = sources[dataset_name]
splits = source.pop('splits')
data_preprocessor = dict(
    num_classes=source.pop('train_classes'),
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
            dict(**source, split=splits[0], pipeline=train_pipeline),
            dict(**source, split=splits[1], pipeline=train_pipeline),
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
            dict(**source, split=splits[0], pipeline=test_pipeline),
            dict(**source, split=splits[1], pipeline=test_pipeline),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='mask_plugins.RetrievalMetrics', ks=(1, 2, 4, 8, 16, 32)
)

test_dataloader = val_dataloader
test_evaluator = val_evaluator

# Only what was chosen belongs to the config of a run.
del sources, source, splits
