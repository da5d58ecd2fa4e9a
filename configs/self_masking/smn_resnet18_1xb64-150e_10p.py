# A tenth of the labels, the same ones in every run.
_base_ = './smn_resnet18_1xb64-150e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.SubsetByRandperm',
        size='10p',
        seed=42,
        dataset=_base_.train_dataloader.dataset,
    )
)
