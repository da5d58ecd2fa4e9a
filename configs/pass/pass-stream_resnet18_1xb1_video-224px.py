# ResNet-18 on your own videos: weights of ImageNet, one threshold for all
# blocks; tools/analysis/calibrate_gate.py finds one for each. Give a file, a
# folder of frames or a folder of videos by
#   --cfg-options test_dataloader.dataset.data_root=...
_base_ = [
    '../_base_/models/pass_resnet18.py',
    '../_base_/datasets/video_clips_224px.py',
    '../_base_/schedules/pass_adamw_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        gate=dict(_delete_=True, type='threshold', threshold=0.05),
        patch_sizes=(8, 4, 2, 2),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    head=dict(num_classes=1000),
    running_mode='FineTuning',
    compare_dense=True,
)
custom_hooks = _base_.custom_hooks + [
    dict(type='mask_plugins.RunningModeHook', mode='FineTuning'),
]
