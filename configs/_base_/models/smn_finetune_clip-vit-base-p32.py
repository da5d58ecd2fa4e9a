# What would be masked is trained instead, with a linear head: no masks.
_base_ = './smn_clip-vit-base-p32.py'

model = dict(
    backbone=dict(
        rules=[
            ('*.attn.qkv.*', 'train'),
            ('*.attn.proj.*', 'train'),
            ('*.ffn.*', 'train'),
            ('*', 'freeze'),
        ],
    ),
    head=dict(
        _delete_=True,
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
