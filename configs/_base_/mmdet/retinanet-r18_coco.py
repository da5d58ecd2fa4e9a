# mmdet's ResNet-18 RetinaNet (1 GPU x 8 images) with exact resume.
_base_ = [
    'mmdet::retinanet/retinanet_r18_fpn_1xb8-1x_coco.py',
    '../exact_resume.py',
]

# Frozen layers would keep the masks they start with; frozen statistics would
# not absorb the scale of the masks.
model = dict(backbone=dict(frozen_stages=-1, norm_eval=False))

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    *_base_.train_pipeline,  # noqa: F821
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

default_hooks = _base_.resume_hooks  # noqa: F821
