# Multi-crop views of the digits 5 to 9: 2 crops of 24 px, 4 of 12 px.
_base_ = './digits_5to9_bs64.py'

num_crops = [2, 4]
data_preprocessor = dict(
    _delete_=True,
    type='SelfSupDataPreprocessor',
    mean=[0.0, 0.0, 0.0],
    std=[127.5, 127.5, 127.5],
)
distort = [
    dict(type='torchvision/RandomAffine', degrees=10, translate=(0.1, 0.1)),
    dict(type='torchvision/ColorJitter', brightness=0.4, contrast=0.4),
    dict(type='PILToNumpy'),
]
large = [
    dict(type='torchvision/RandomResizedCrop', size=24, scale=(0.4, 1.0)),
    *distort,
]
small = [
    dict(type='torchvision/RandomResizedCrop', size=12, scale=(0.2, 0.4)),
    *distort,
]
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='NumpyToPIL'),
    dict(type='MultiView', num_views=num_crops, transforms=[large, small]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(dataset=dict(image_size=24, pipeline=train_pipeline)),
)
val_dataloader = dict(
    collate_fn=dict(type='default_collate'),
    dataset=dict(dataset=dict(image_size=24)),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mask_plugins.KNNAccuracy', k=20, topk=(1,)
)
test_evaluator = val_evaluator
