# Every token in every iteration, on a tenth of CIFAR-10, for trials on a CPU:
# the small ViT of the digits at 32 px, 64 patches and the class token.
_base_ = [
    '../_base_/models/pss_vit-tiny_digits.py',
    '../_base_/datasets/cifar10_reduced_bs64.py',
    '../_base_/schedules/adamw_digits_30e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=32))
train_dataloader = dict(batch_size=32, drop_last=False)
train_cfg = dict(max_epochs=10, val_interval=5)
auto_scale_lr = dict(base_batch_size=32)
