# Defaults of every config: exact resume, safe checkpoints, plain JSON logs.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mask_plugins.SafeCheckpointHook', interval=1),
    # SIGTERM and SIGUSR1: finish the iteration, save, exit with code 75.
    preemption=dict(type='mask_plugins.PreemptionHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False),
)
custom_hooks = [
    dict(type='mask_plugins.SeedHook'),
    dict(type='mask_plugins.TrainLogHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False

# A run is a function of its config only with a fixed seed: a run killed
# before its first checkpoint could not be repeated otherwise.
randomness = dict(seed=0, deterministic=False)
