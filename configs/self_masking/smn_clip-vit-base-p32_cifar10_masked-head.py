# Without texts: the masked random head on the masked visual tower.
_base_ = ['./smn_clip-vit-base-p32_cifar10.py']

model = dict(
    head=dict(
        _delete_=True,
        type='mask_plugins.MaskedLinearClsHead',
        num_classes=10,
        in_channels=768,
    )
)
