# CIFAR-10 in image folders, zero-shot: airplane to deer train, with 500 images
# each (a tenth); among the test images of dog to truck each is sought. For
# trials on a CPU: its numbers are of the reduced data.
_base_ = './cifar10_reduced_bs64.py'

data_preprocessor = dict(num_classes=5)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSplit',
        part='train',
        dataset=_base_.train_dataloader.dataset,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSplit',
        part='test',
        dataset=_base_.val_dataloader.dataset,
    )
)
val_evaluator = dict(_delete_=True, type='mask_plugins.RetrievalMetrics')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
