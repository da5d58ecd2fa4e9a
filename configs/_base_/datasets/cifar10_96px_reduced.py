# cifar10_reduced_bs64 with 1,000 test images, at 96 px, with the pixels of
# EfficientNet-Lite0.
_base_ = './cifar10_reduced_bs64.py'

data_preprocessor = dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0])
load_image = [
    dict(type='LoadImageFromFile'),
    dict(type='NumpyToPIL', to_rgb=True),
]
pack = [dict(type='PILToNumpy', to_bgr=True), dict(type='PackInputs')]
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    *load_image,
    dict(
        type='torchvision/RandomResizedCrop',
        size=96,
        scale=(0.4, 1.0),
        interpolation='bicubic',
    ),
    dict(type='torchvision/RandomHorizontalFlip', p=0.5),
    *pack,
]
test_pipeline = [
    *load_image,
    dict(type='torchvision/Resize', size=96, interpolation='bicubic'),
    *pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=100,
    dataset=dict(
        _delete_=True,
        type='mask_plugins.SubsetByRandperm',
        size=1000,
        balanced=True,
        dataset=dict(
            type='mask_plugins.ImageFolder',
            data_root=_base_.data_root,
            data_prefix='test',
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
