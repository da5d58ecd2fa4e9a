# A CIFAR-style network: no stem that shrinks the image.
_base_ = ['./pass-pretrain_resnet18_1xb8-6e_synthetic.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='mask_plugins.GatedModel',
        module=dict(type='mask_plugins.CIFARResNet', depth=20),
        gate=_base_.gate,
        place='conv',
        patch_size=4,
    ),
)
scene = dict(image_size=32, object_size=(8, 12))
train_dataloader = dict(dataset=dict(**scene))
