# mmdet's ResNet-18 RetinaNet (1 GPU x 8 images) with exact resume.
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1xb8-1x_coco.py'

# Frozen layers would keep the masks they start with; frozen statistics would
# not absorb the scale of the masks.
model = dict(backbone=dict(frozen_stages=-1, norm_eval=False))

train_pipeline = [
    dict(type='mask_plugins.SeedSample'),
    *_base_.train_pipeline,  # noqa: F821
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

default_hooks = dict(
    checkpoint=dict(type='mask_plugins.SafeCheckpointHook', max_keep_ckpts=2),
    # SIGTERM, SIGUSR1, Ctrl-C: finish the iteration, save, exit with code 75.
    preemption=dict(type='mask_plugins.PreemptionHook'),
)
custom_hooks = [
    dict(type='mask_plugins.SeedHook'),
    dict(type='mask_plugins.TrainLogHook'),
]
randomness = dict(seed=0, deterministic=False)
