# The backbone of the self-supervised digit configs: the digits 0 to 4.
_base_ = './pretrain_resnet18-narrow_1xb64-15e_digits.py'

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomCrop', crop_size=24, padding=3),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    dataset=dict(dataset=dict(image_size=24, pipeline=train_pipeline))
)
val_dataloader = dict(dataset=dict(dataset=dict(image_size=24)))
test_dataloader = val_dataloader
