_base_ = './hgsl_resnet50_1xb84-100e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$HGSL_DATASET:cub}}'
# As released in every detail: alpha's gradient counts in the clipped norm, and
# the log has the authors' own mAP@k next to the standard measures.
custom_hooks = _base_.custom_hooks[:-1]
val_evaluator = dict(
    ks=(1, 5, 10, 100),
    measures=('recall', 'precision', 'authors_map', 'map_at_r'),
)
test_evaluator = val_evaluator
