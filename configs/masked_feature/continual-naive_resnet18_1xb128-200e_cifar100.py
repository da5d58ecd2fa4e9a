_base_ = [
    '../_base_/models/continual_resnet18.py',
    '../_base_/datasets/continual_cifar100.py',
    '../_base_/schedules/continual_sgd_200e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}-{{$CONTINUAL_TASKS:2}}tasks'
model = dict(
    head=dict(head=dict(num_classes=_base_.data_preprocessor.num_classes))
)
