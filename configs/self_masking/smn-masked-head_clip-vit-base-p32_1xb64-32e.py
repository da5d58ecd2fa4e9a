# Without texts: the masked random head on the masked visual tower.
_base_ = './smn_clip-vit-base-p32_1xb64-32e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(
    head=dict(
        _delete_=True,
        type='mask_plugins.MaskedLinearClsHead',
        num_classes=_base_.data_preprocessor.num_classes,
        in_channels=768,
    )
)
