# Defaults of every config: exact resume, safe checkpoints, plain JSON logs.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mask_plugins.SafeCheckpointHook', interval=1),
    # SIGTERM, SIGUSR1, Ctrl-C: finish the iteration, save, exit with code 75.
    preemption=dict(type='mask_plugins.PreemptionHook'),
    # NaN or inf in loss or parameters: exit with code 3, keep what was saved.
    divergence=dict(type='mask_plugins.DivergenceHook'),
    # num_classes of the model against the classes of the data.
    class_count=dict(type='mask_plugins.ClassCountHook'),
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

# Uncomment a line to log there too, after pip install tensorboard, wandb,
# mlflow or neptune. wandb works offline with WANDB_MODE=offline, MLflow writes
# into the work_dir unless it has a tracking_uri, Neptune reads its token from
# NEPTUNE_API_TOKEN.
vis_backends = [
    dict(type='LocalVisBackend'),
    # dict(type='TensorboardVisBackend'),
    # dict(type='WandbVisBackend', init_kwargs=dict(project='mask_plugins')),
    # dict(type='MLflowVisBackend', exp_name='mask_plugins'),
    # dict(type='NeptuneVisBackend', init_kwargs=dict(project='TEAM/PROJECT')),
]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False

# A run is a function of its config only with a fixed seed: a run killed
# before its first checkpoint could not be repeated otherwise.
randomness = dict(seed=0, deterministic=False)
