# Generated clips: textured objects over a fixed scene, nothing to download.
dataset_type = 'mask_plugins.SyntheticClips'
data_preprocessor = dict(
    num_classes=5,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    # Clips are RGB already.
    to_rgb=False,
)

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='mask_plugins.PackClip'),
]
test_pipeline = [dict(type='mask_plugins.PackClip')]
scene = dict(
    image_size=64,
    num_classes=5,
    object_size=(16, 24),
    speed=(1.0, 3.0),
    noise=2.0,
    seed=0,
)

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    drop_last=True,
    dataset=dict(
        type=dataset_type,
        split='train',
        num_clips=320,
        clip_len=4,
        pipeline=train_pipeline,
        **scene,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
# One stream at a time, so that latencies are those of one stream.
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        type=dataset_type,
        split='val',
        num_clips=40,
        clip_len=8,
        pipeline=test_pipeline,
        **scene,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = [
    dict(type='Accuracy'),
    dict(type='mask_plugins.SkipRatio'),
]

test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        type=dataset_type,
        split='test',
        num_clips=40,
        clip_len=16,
        pipeline=test_pipeline,
        **scene,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
