# The embedded digits at their 8 px, and the rank of the features.
_base_ = './digits_8px_bs64.py'

val_evaluator = [
    dict(type='Accuracy', topk=(1, 5)),
    dict(type='mask_plugins.RankMe'),
]
test_evaluator = val_evaluator
