# The drop ratio falls from 80 % to 0 over the run.
pss_hook = dict(
    type='mask_plugins.PSSHook',
    schedule=dict(
        type='mask_plugins.LinearSchedule',
        start=0.8,
        end=0.0,
        quantum=0.2,
        plateau='end',
    ),
)
