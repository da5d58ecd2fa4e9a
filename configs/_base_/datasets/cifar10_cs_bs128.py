# CIFAR-10 as Continuous Sparsification has it: flip, padded crop, a held-out
# 500 images per class of the training set to validate, the test set to test.
dataset_type = 'CIFAR10'
data_root = 'data/cifar10'
data_preprocessor = dict(
    num_classes=10,
    mean=[125.3, 123.0, 113.9],
    std=[63.0, 62.1, 66.7],
    to_rgb=False,
)

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=False,
    dataset=dict(
        type='mask_plugins.StratifiedSplit',
        part='train',
        val_per_class=500,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split='train',
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=False,
    dataset=dict(
        type='mask_plugins.StratifiedSplit',
        part='val',
        val_per_class=500,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split='train',
            pipeline=test_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='test',
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
