# Your own videos: files, or folders of frames, anywhere below data_root; for
# training and validation in one folder per class.
dataset_type = 'mask_plugins.VideoClips'
data_preprocessor = dict(
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
size = 224

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type,
        data_root='data/videos/train',
        clip_len=4,
        image_size=size,
        label_from_folder=True,
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type,
        data_root='data/videos/val',
        clip_len=16,
        image_size=size,
        label_from_folder=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='mask_plugins.SkipRatio')

test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type,
        data_root='data/videos',
        clip_len=16,
        image_size=size,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = val_evaluator
