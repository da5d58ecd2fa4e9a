# A tenth of the labels, the same ones in every run.
_base_ = ['./smn_resnet18_cifar10.py']

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.SubsetByRandperm',
        size='10p',
        seed=42,
        dataset=_base_.train_dataloader.dataset,
    )
)
