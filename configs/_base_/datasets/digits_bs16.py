# UCI handwritten digits out of scikit-learn: nothing to download.
dataset_type = 'mask_plugins.Digits'
image_size = 24
data_preprocessor = dict(
    num_classes=10,
    # Black stays 0: the magnitude of a patch then says how much ink it has.
    mean=[0.0, 0.0, 0.0],
    std=[127.5, 127.5, 127.5],
    to_rgb=False,
)

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomCrop', crop_size=image_size, padding=1),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    drop_last=False,
    dataset=dict(
        type=dataset_type,
        split='train',
        image_size=image_size,
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        type=dataset_type,
        split='test',
        image_size=image_size,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
