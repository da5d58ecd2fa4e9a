# mmseg's ResNet-18 FCN (4 GPUs x 2 images) with exact resume.
_base_ = [
    'mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    '../exact_resume.py',
]

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    *_base_.train_pipeline,  # noqa: F821
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

default_hooks = _base_.resume_hooks  # noqa: F821
