# Two crops of 64 px of each image of cifar10_96px_reduced. Smaller crops cost
# a CPU more time than they are worth here; at 64 px an object is about as
# large as in a test image, which is not cropped.
_base_ = './cifar10_96px_reduced.py'

num_crops = [2]
data_preprocessor = dict(
    _delete_=True,
    type='SelfSupDataPreprocessor',
    mean=[127.0, 127.0, 127.0],
    std=[128.0, 128.0, 128.0],
    to_rgb=True,
)
distort = [
    dict(type='torchvision/RandomHorizontalFlip', p=0.5),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='torchvision/ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.1,
            )
        ],
        prob=0.8,
    ),
    dict(type='torchvision/RandomGrayscale', p=0.2),
    dict(type='PILToNumpy', to_bgr=True),
]
large = [
    dict(type='torchvision/RandomResizedCrop', size=64, scale=(0.3, 1.0)),
    *distort,
]
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    *_base_.load_image,
    dict(type='MultiView', num_views=num_crops, transforms=[large]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(dataset=dict(pipeline=train_pipeline)),
)
val_dataloader = dict(collate_fn=dict(type='default_collate'))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mask_plugins.KNNAccuracy', k=20, topk=(1,)
)
test_evaluator = val_evaluator
