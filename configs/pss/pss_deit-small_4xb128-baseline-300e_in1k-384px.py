# DeiT-S from scratch at 384 px: 576 patches and the class token.
_base_ = [
    '../_base_/models/pss_deit-small.py',
    '../_base_/datasets/imagenet_bs128_deit_384.py',
    '../_base_/schedules/adamw_deit_300e.py',
]

model = dict(backbone=dict(img_size=384))
# 4 GPUs x 128 images
optim_wrapper = dict(optimizer=dict(lr=5e-4 * 512 / 512))
auto_scale_lr = dict(base_batch_size=512)
