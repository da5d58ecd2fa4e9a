# Multi-crop views of cifar10_5to9_reduced: 2 crops of 32 px, 4 of 16 px.
_base_ = './cifar10_5to9_reduced.py'

num_crops = [2, 4]
data_preprocessor = dict(
    _delete_=True,
    type='SelfSupDataPreprocessor',
    mean=[125.3, 123.0, 113.9],
    std=[63.0, 62.1, 66.7],
    to_rgb=True,
)
distort = [
    dict(type='torchvision/RandomHorizontalFlip', p=0.5),
    dict(
        type='torchvision/ColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
    ),
    dict(type='torchvision/RandomGrayscale', p=0.2),
    dict(type='PILToNumpy', to_bgr=True),
]
# Of each size: share of the image.
large, small = (
    [
        dict(type='torchvision/RandomResizedCrop', size=size, scale=scale),
        *distort,
    ]
    for size, scale in ((32, (0.3, 1.0)), (16, (0.1, 0.3)))
)
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='MultiView', num_views=num_crops, transforms=[large, small]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(dataset=dict(dataset=dict(pipeline=train_pipeline))),
)
val_dataloader = dict(collate_fn=dict(type='default_collate'))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mask_plugins.KNNAccuracy', k=20, topk=(1,)
)
test_evaluator = val_evaluator
