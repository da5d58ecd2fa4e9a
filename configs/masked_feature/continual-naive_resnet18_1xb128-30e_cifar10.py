_base_ = [
    '../_base_/models/continual_resnet18.py',
    '../_base_/datasets/continual_cifar10.py',
    '../_base_/schedules/continual_sgd_30e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}-{{$CONTINUAL_TASKS:2}}tasks'
