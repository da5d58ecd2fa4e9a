# A tenth of the labels, the same ones in every run; SMN_LABELS chooses another
# share: 4p, 2p, 1p, .5p, .25p, or a number of images.
_base_ = './smn_resnet18_1xb64-150e.py'

labels = '{{$SMN_LABELS:10p}}'
work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
if labels != '10p':
    work_dir = f'{work_dir}_{labels}'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.SubsetByRandperm',
        size=int(labels) if labels.isdigit() else labels,
        seed=42,
        dataset=_base_.train_dataloader.dataset,
    )
)
