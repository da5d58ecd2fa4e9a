_base_ = './hgsl-k1_resnet8_cifar10-reduced.py'

model = dict(
    head=dict(
        _delete_=True,
        type='mask_plugins.PMLLossHead',
        num_classes=5,
        in_channels=128,
        loss=dict(type='TripletMarginLoss', margin=0.2),
        miner=dict(
            type='TripletMarginMiner',
            margin=0.2,
            type_of_triplets='semihard',
        ),
    )
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type='mask_plugins.MPerClassSampler',
        samples_per_class=4,
    )
)
# There is no alpha to leave out of the clipping.
custom_hooks = _base_.custom_hooks[:-1]
