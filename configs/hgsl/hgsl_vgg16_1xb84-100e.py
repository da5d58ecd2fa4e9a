_base_ = [
    '../_base_/models/hgsl_vgg16.py',
    '../_base_/datasets/retrieval_bs84.py',
    '../_base_/schedules/hgsl_sgd_100e.py',
]

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$HGSL_DATASET:cub}}'
model = dict(head=dict(num_classes=_base_.data_preprocessor.num_classes))
