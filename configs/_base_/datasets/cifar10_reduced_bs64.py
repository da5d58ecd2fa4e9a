# CIFAR-10 in image folders (data_root/{train,test}/<class>/*), a tenth of the
# training images: for trials on a CPU. Its numbers are of the reduced data.
_base_ = './cifar10_cs_bs128.py'

data_root = 'data/cifar10-folders'
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
data_preprocessor = dict(to_rgb=True)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    dataset=dict(
        _delete_=True,
        type='mask_plugins.SubsetByRandperm',
        size=5000,
        balanced=True,
        dataset=dict(
            type='mask_plugins.ImageFolder',
            data_root=data_root,
            data_prefix='train',
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ImageFolder',
        data_root=data_root,
        data_prefix='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
