# A drop ratio of 40 % throughout.
pss_hook = dict(
    type='mask_plugins.PSSHook',
    schedule=dict(type='mask_plugins.ConstantSchedule', start=0.4),
)
