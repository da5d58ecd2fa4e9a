# The digits as they are, 8 x 8, for small convolutional networks.
_base_ = './digits_bs16.py'

image_size = 8
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomCrop', crop_size=image_size, padding=1),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=64,
    dataset=dict(image_size=image_size, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(image_size=image_size))
test_dataloader = dict(dataset=dict(image_size=image_size))
