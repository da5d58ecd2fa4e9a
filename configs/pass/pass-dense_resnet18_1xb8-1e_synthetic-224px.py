# The net of the labeled measurement: small objects in a fixed scene, 224 px.
_base_ = ['./pass-dense_resnet18_1xb16-2e_synthetic.py']

scene = dict(image_size=224, object_size=(40, 56), speed=(2.0, 6.0))
# The gates of this test: one threshold, patches that fit 224 px.
model = dict(
    backbone=dict(
        gate=dict(_delete_=True, type='threshold', threshold=0.1),
        patch_sizes=(8, 4, 2, 2),
    ),
    compare_dense=True,
)
train_dataloader = dict(batch_size=8, dataset=dict(num_clips=800, **scene))
val_dataloader = dict(dataset=dict(**scene))
test_dataloader = dict(dataset=dict(clip_len=32, **scene))
train_cfg = dict(max_epochs=1, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
custom_hooks = _base_.custom_hooks + [
    dict(type='mask_plugins.RunningModeHook', mode='BackboneTrain'),
]
