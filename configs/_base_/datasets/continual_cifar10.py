# CIFAR-10 at 32 px, with the augmentation of masked-analysis, in two tasks or
# as many as an environment variable says:
#   CONTINUAL_TASKS=5 mim train mmpretrain configs/masked_feature/...
dataset_type = 'CIFAR10'
data_root = 'data/cifar10'
data_preprocessor = dict(
    num_classes=10,
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
    to_rgb=False,
)
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

num_tasks = '{{$CONTINUAL_TASKS:2}}'
if not num_tasks.isdecimal():
    raise ValueError(f'CONTINUAL_TASKS={num_tasks}: give a number of tasks')
# -1: in the order of the dataset, as the original. For another order set the
# seed of all three loaders.
tasks = dict(type='mask_plugins.TaskSplit', tasks=int(num_tasks), seed=-1)
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
