_base_ = './dense_resnet20_1xb128-85e_cifar10.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet_CIFAR',
        depth=18,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
    ),
    head=dict(in_channels=512),
)
