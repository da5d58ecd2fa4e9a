# Supervised training and test of Self-Masking Networks at 224 px, for all of
# its datasets. They differ in `train_dataloader.dataset` and in the classes.
data_preprocessor = dict(
    num_classes=1000,
    # CLIP's, for every backbone
    mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=True,
)
load_image = [
    dict(type='LoadImageFromFile'),
    dict(type='NumpyToPIL', to_rgb=True),
]
# torchvision's, as the original has them; mmcv's change of hue fails on
# numpy 2.
augment = [
    # The whole image, squeezed: only the aspect ratio is random.
    dict(
        type='torchvision/RandomResizedCrop',
        size=224,
        scale=(1.0, 1.0),
        interpolation='bicubic',
    ),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='torchvision/ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.4,
            )
        ],
        prob=0.8,
    ),
    dict(type='torchvision/RandomGrayscale', p=0.2),
    dict(type='torchvision/RandomSolarize', threshold=128, p=0.2),
    dict(type='torchvision/RandomHorizontalFlip', p=0.5),
]
center = [
    dict(type='torchvision/Resize', size=224, interpolation='bilinear'),
    dict(type='torchvision/CenterCrop', size=224),
]
pack = [dict(type='PILToNumpy', to_bgr=True), dict(type='PackInputs')]
seed = dict(type='mask_plugins.SeedSample')

train_pipeline = [seed, *load_image, *augment, *pack]
# A linear probe sees the images as they are.
probe_pipeline = [seed, *load_image, *center, *pack]
test_pipeline = [*load_image, *center, *pack]

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
