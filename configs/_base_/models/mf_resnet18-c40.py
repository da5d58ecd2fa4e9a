# The main network of masked-analysis: ResNet-18 for CIFAR with 40 instead of
# 64 channels in the first stage, so features of 320 channels; a 3x3 stem.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
        base_channels=40,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=320,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
