_base_ = [
    '../_base_/models/smn_clip-vit-base-p32.py',
    '../_base_/datasets/smn_bs64_224.py',
    '../_base_/schedules/smn_sgdc_32e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(
    head=dict(
        num_classes=_base_.data_preprocessor.num_classes,
        # tools/model_converters/clip_prototypes.py writes it.
        prototypes='checkpoints/clip-vit-base-p32_{{$SMN_DATASET:cifar10}}'
        '.safetensors',
    )
)
