_base_ = [
    '../_base_/models/pss_vit-tiny_digits.py',
    '../_base_/datasets/retrieval_digits_bs64.py',
    '../_base_/schedules/adamw_digits_30e.py',
    '../_base_/default_runtime.py',
]

# HGSL on a ViT under a patch sampling schedule, digits at 24 pixels.
model = dict(
    type='mask_plugins.ImageEmbedder',
    head=dict(
        _delete_=True,
        type='mask_plugins.HardGlobalSoftminHead',
        num_classes=5,
        in_channels=96,
        top_k=1,
    ),
)
image_size = 24
train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomCrop', crop_size=image_size, padding=1),
    dict(type='PackInputs'),
]
train_split = dict(
    type='mask_plugins.Digits', image_size=image_size, pipeline=train_pipeline
)
test_split = dict(train_split, pipeline=[dict(type='PackInputs')])
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        dataset=[
            dict(train_split, split='train'),
            dict(train_split, split='test'),
        ]
    ),
)
val_dataloader = dict(
    dataset=dict(
        dataset=[
            dict(test_split, split='train'),
            dict(test_split, split='test'),
        ]
    )
)
test_dataloader = val_dataloader

optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
            'head.alpha': dict(lr_mult=0.002),
        }
    )
)
custom_hooks = _base_.custom_hooks + [
    dict(
        type='mask_plugins.PSSHook',
        schedule=dict(
            type='mask_plugins.CyclicSchedule',
            start=0.8,
            end=0.0,
            quantum=0.2,
            plateau='end',
        ),
    ),
    dict(type='mask_plugins.ClipExemptHook', names=('head.alpha',)),
]
