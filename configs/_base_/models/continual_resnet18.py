# ResNet-18 whose head sees the classes of one task after the other. Naive:
# trained on, with nothing against forgetting.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='mask_plugins.ClassIncrementalHead',
        # Cross entropy among the classes of this task, 'new', or of all
        # 'seen' ones.
        loss_classes='new',
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=512,
            topk=(1,),
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        ),
    ),
)
