# The drop ratio falls from 80 % to 0 and rises again, once per epoch.
pss_hook = dict(
    type='mask_plugins.PSSHook',
    schedule=dict(
        type='mask_plugins.CyclicSchedule',
        start=0.8,
        end=0.0,
        quantum=0.2,
        plateau='end',
    ),
)
