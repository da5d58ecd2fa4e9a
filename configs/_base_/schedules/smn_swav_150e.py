# Scores as in supervised masking, without the warm-up. Projection and
# prototypes have a rate and a constant decay of their own.
_base_ = './smn_sgdc_150e.py'

optim_wrapper = dict(
    paramwise_cfg=dict(
        head_modules=('neck', 'head'), head=dict(lr=0.15, weight_decay=1e-6)
    )
)
param_scheduler = dict(warmup=0)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mask_plugins.SwAVHook',
        queue_start_epoch=30,
        freeze_prototypes=5005,
    ),
]

# mmpretrain's pre-training cannot predict: its features are measured.
val_cfg = dict(type='mask_plugins.SelfSupValLoop')
test_cfg = dict(type='mask_plugins.SelfSupTestLoop')
