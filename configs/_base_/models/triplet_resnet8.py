# The triplet loss with semi-hard mining in place of HGSL.
_base_ = './hgsl_resnet8.py'

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
