# Multi-crop views of the datasets of Self-Masking Networks, chosen as there by
# SMN_DATASET: 2 crops of 224 px and 6 of 96 px.
_base_ = './smn_bs64_224.py'

num_crops = [2, 6]
data_preprocessor = dict(
    _delete_=True,
    type='SelfSupDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.14, 57.12, 57.375],
    to_rgb=not _base_.in_memory,
)
to_bgr = not _base_.in_memory
distort = [
    dict(type='torchvision/RandomHorizontalFlip', p=0.5),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='torchvision/ColorJitter',
                brightness=0.8,
                contrast=0.8,
                saturation=0.8,
                hue=0.2,
            )
        ],
        prob=0.8,
    ),
    dict(type='torchvision/RandomGrayscale', p=0.2),
]
# Of each size: share of the image, width of the blur.
large, small = (
    [
        dict(type='torchvision/RandomResizedCrop', size=size, scale=scale),
        *distort,
        dict(
            type='RandomApply',
            transforms=[
                dict(
                    type='torchvision/GaussianBlur',
                    kernel_size=kernel,
                    sigma=(0.1, 2.0),
                )
            ],
            prob=0.5,
        ),
        dict(type='PILToNumpy', to_bgr=to_bgr),
    ]
    for size, scale, kernel in ((224, (0.14, 1.0), 23), (96, (0.05, 0.14), 9))
)
train_pipeline = [
    _base_.seed,
    *_base_.load_image,
    dict(type='MultiView', num_views=num_crops, transforms=[large, small]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(collate_fn=dict(type='default_collate'))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mask_plugins.KNNAccuracy'),
    dict(type='mask_plugins.RankMe'),
]
test_evaluator = val_evaluator
