# Supervised training and test of Self-Masking Networks at 224 px, for all of
# its datasets. They differ in `train_dataloader.dataset` and in the classes.
data_preprocessor = dict(
    num_classes=1000,
    # CLIP's, for every backbone
    mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=True,
)
load_image = [dict(type='LoadImageFromFile')]
augment = [
    # The whole image, squeezed: only the aspect ratio is random.
    dict(
        type='RandomResizedCrop',
        scale=224,
        crop_ratio_range=(1.0, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.4,
            )
        ],
        prob=0.8,
    ),
    dict(
        type='RandomGrayscale',
        prob=0.2,
        keep_channels=True,
        channel_weights=(0.114, 0.587, 0.2989),
    ),
    dict(type='Solarize', thr=128, prob=0.2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
center = [
    dict(
        type='ResizeEdge',
        scale=224,
        edge='short',
        backend='pillow',
        interpolation='bilinear',
    ),
    dict(type='CenterCrop', crop_size=224),
]
first, last = dict(type='mask_plugins.SeedSample'), dict(type='PackInputs')

train_pipeline = [first, *load_image, *augment, last]
# A linear probe sees the images as they are.
probe_pipeline = [first, *load_image, *center, last]
test_pipeline = [*load_image, *center, last]

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=False,
    dataset=dict(pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
