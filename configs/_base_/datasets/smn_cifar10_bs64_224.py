# CIFAR-10 at 224 px; mmpretrain downloads it into data_root. Its images are
# RGB from the start.
_base_ = ['./smn_bs64_224.py']

data_root = 'data/cifar10'
data_preprocessor = dict(num_classes=10, to_rgb=False)

augment = [
    dict(step, channel_weights=(0.2989, 0.587, 0.114))
    if step['type'] == 'RandomGrayscale'
    else step
    for step in _base_.augment
]
train_pipeline = [_base_.first, *augment, _base_.last]
probe_pipeline = [_base_.first, *_base_.center, _base_.last]
test_pipeline = [*_base_.center, _base_.last]

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
