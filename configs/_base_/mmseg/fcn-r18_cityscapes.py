# mmseg's ResNet-18 FCN (4 GPUs x 2 images) with exact resume.
_base_ = 'mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'

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
