_base_ = [
    '../_base_/models/smn_clip-vit-base-p32.py',
    '../_base_/datasets/smn_ucf101_bs64_224.py',
    '../_base_/schedules/smn_sgdc_32e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        num_classes=101,
        prototypes='checkpoints/clip-vit-base-p32_ucf101.safetensors',
    )
)

default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
