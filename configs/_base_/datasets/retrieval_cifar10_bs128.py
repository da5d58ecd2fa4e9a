# CIFAR-10, zero-shot: airplane to deer of the training images train; among
# the test images of dog to truck each is sought.
_base_ = './cifar10_cs_bs128.py'

data_preprocessor = dict(num_classes=5)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSplit',
        part='train',
        dataset=_base_.train_dataloader.dataset,
    )
)
test_split = dict(
    _delete_=True,
    type='mask_plugins.ClassSplit',
    part='test',
    dataset=_base_.test_dataloader.dataset,
)
val_dataloader = dict(dataset=test_split)
test_dataloader = dict(dataset=test_split)
val_evaluator = dict(_delete_=True, type='mask_plugins.RetrievalMetrics')
test_evaluator = val_evaluator
