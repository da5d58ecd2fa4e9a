# CIFAR-10 at 224 px; mmpretrain downloads it into data_root. Its images are
# RGB from the start.
_base_ = ['./smn_bs64_224.py']

data_root = 'data/cifar10'
data_preprocessor = dict(num_classes=10, to_rgb=False)

load_image = [dict(type='NumpyToPIL', to_rgb=False)]
pack = [dict(type='PILToNumpy', to_bgr=False), dict(type='PackInputs')]
train_pipeline = [_base_.seed, *load_image, *_base_.augment, *pack]
probe_pipeline = [_base_.seed, *load_image, *_base_.center, *pack]
test_pipeline = [*load_image, *_base_.center, *pack]

train_dataloader = dict(
    dataset=dict(
        type='CIFAR10',
        data_root=data_root,
        split='train',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type='CIFAR10',
        data_root=data_root,
        split='test',
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
