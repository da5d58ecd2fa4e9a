_base_ = './hgsl_resnet50_cub.py'

# As released in every detail: alpha's gradient counts in the clipped norm, and
# the log has the authors' own mAP@k beside the standard measures.
custom_hooks = _base_.custom_hooks[:-1]
val_evaluator = dict(
    ks=(1, 5, 10, 100),
    measures=('recall', 'precision', 'authors_map', 'map_at_r'),
)
test_evaluator = val_evaluator
