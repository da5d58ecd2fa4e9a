# Half of CIFAR-10's classes, dog to truck, in image folders: 500 training
# images of each, for trials on a CPU. Its numbers are of the reduced data.
_base_ = ['./cifar10_reduced_bs64.py']

classes = [5, 6, 7, 8, 9]
data_preprocessor = dict(num_classes=5)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSubset',
        classes=classes,
        dataset=_base_.train_dataloader.dataset,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSubset',
        classes=classes,
        dataset=_base_.val_dataloader.dataset,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
