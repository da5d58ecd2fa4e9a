# CIFAR-100 at 32 px in two tasks, with the augmentation of masked-analysis.
dataset_type = 'CIFAR100'
data_root = 'data/cifar100'
data_preprocessor = dict(
    num_classes=100,
    mean=[129.304, 124.07, 112.434],
    std=[68.17, 65.392, 70.418],
    to_rgb=False,
)
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

# -1: in the order of the dataset, as the original. For another order set the
# seed of all three loaders.
tasks = dict(type='mask_plugins.TaskSplit', tasks=2, seed=-1)
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=False,
    dataset=dict(
        **tasks,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split='train',
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='mask_plugins.TaskSampler', shuffle=True),
)
# All classes: those that are not seen yet do not count.
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=False,
    dataset=dict(
        **tasks,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split='test',
            pipeline=test_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='mask_plugins.TaskAccuracy')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
