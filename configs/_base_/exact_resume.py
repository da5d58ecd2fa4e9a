# Exact resume in a config of another OpenMMLab project. Its own base has
# default_hooks, too, and two bases may not: take these by name.
resume_hooks = dict(
    checkpoint=dict(type='mask_plugins.SafeCheckpointHook', max_keep_ckpts=2),
    # SIGTERM, SIGUSR1, Ctrl-C: finish the iteration, save, exit with code 75.
    preemption=dict(type='mask_plugins.PreemptionHook'),
)
custom_hooks = [
    dict(type='mask_plugins.SeedHook'),
    dict(type='mask_plugins.TrainLogHook'),
]
randomness = dict(seed=0, deterministic=False)
