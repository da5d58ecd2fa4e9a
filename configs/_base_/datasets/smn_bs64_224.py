# The datasets of Self-Masking Networks at 224 px, one by environment variable:
#   SMN_DATASET=pets mim train mmpretrain configs/self_masking/...
# mmpretrain downloads CIFAR. iNatLoc has a folder per class in train/ and
# test/. The others have CoOp's folders and splits, whose train and val parts
# are both trained on.
dataset_name = '{{$SMN_DATASET:cifar10}}'
zhou = 'mask_plugins.ZhouSplitDataset'
sources = dict(
    cifar10=dict(classes=10, type='CIFAR10', data_root='data/cifar10'),
    cifar100=dict(classes=100, type='CIFAR100', data_root='data/cifar100'),
    dtd=dict(
        classes=47,
        type=zhou,
        data_root='data/dtd',
        ann_file='split_zhou_DescribableTextures.json',
        data_prefix='images',
    ),
    eurosat=dict(
        classes=10,
        type=zhou,
        data_root='data/eurosat',
        ann_file='split_zhou_EuroSAT.json',
        data_prefix='2750',
    ),
    flowers102=dict(
        classes=102,
        type=zhou,
        data_root='data/oxford_flowers',
        ann_file='split_zhou_OxfordFlowers.json',
        data_prefix='jpg',
    ),
    inatloc=dict(
        classes=500, type='mask_plugins.ImageFolder', data_root='data/inatloc'
    ),
    pets=dict(
        classes=37,
        type=zhou,
        data_root='data/oxford_pets',
        ann_file='split_zhou_OxfordPets.json',
        data_prefix='images',
    ),
    sun397=dict(
        classes=397,
        type=zhou,
        data_root='data/sun397',
        ann_file='split_zhou_SUN397.json',
        data_prefix='SUN397',
    ),
    ucf101=dict(
        classes=101,
        type=zhou,
        data_root='data/ucf101',
        ann_file='split_zhou_UCF101.json',
        data_prefix='UCF-101-midframes',
    ),
)
if dataset_name not in sources:
    raise ValueError(
        f'SMN_DATASET={dataset_name}: choose from {", ".join(sources)}'
    )
source = sources[dataset_name]
data_root = source['data_root']
# CIFAR is in memory and RGB from the start.
in_memory = dataset_name.startswith('cifar')
train_part = dict(split='train' if in_memory else 'trainval')
test_part = dict(split='test')
if source['type'].endswith('ImageFolder'):
    train_part, test_part = dict(data_prefix='train'), dict(data_prefix='test')
data_preprocessor = dict(
    num_classes=source.pop('classes'),
    # CLIP's, for every backbone
    mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=not in_memory,
)
load_image = [dict(type='NumpyToPIL', to_rgb=not in_memory)]
if not in_memory:
    load_image.insert(0, dict(type='LoadImageFromFile'))
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
pack = [
    dict(type='PILToNumpy', to_bgr=not in_memory),
    dict(type='PackInputs'),
]
seed = dict(type='mask_plugins.SeedSample')

train_pipeline = [seed, *load_image, *augment, *pack]
# A linear probe sees the images as they are.
probe_pipeline = [seed, *load_image, *center, *pack]
test_pipeline = [*load_image, *center, *pack]

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=False,
    dataset=dict(**source, **train_part, pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=False,
    dataset=dict(**source, **test_part, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

# Only what was chosen belongs to the config of a run.
del sources, source, zhou, train_part, test_part
