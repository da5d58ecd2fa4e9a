# With SMN_LABELS only a share of the labels, the same ones in every run: 10p,
# 4p, 2p, 1p, .5p, .25p, or a number of images.
_base_ = [
    '../_base_/models/smn_resnet18.py',
    '../_base_/datasets/smn_bs64_224.py',
    '../_base_/schedules/smn_sgdc_150e.py',
]

labels = '{{$SMN_LABELS:100p}}'
work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$SMN_DATASET:cifar10}}'
model = dict(head=dict(num_classes=_base_.data_preprocessor.num_classes))
if labels != '100p':
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
