# Half of the digits, 8 x 8: the classes 5 to 9, numbered from 0.
_base_ = ['./digits_8px_bs64.py']

classes = [5, 6, 7, 8, 9]
data_preprocessor = dict(num_classes=5)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSubset',
        classes=classes,
        dataset=dict(
            type='mask_plugins.Digits',
            split='train',
            image_size=8,
            pipeline=_base_.train_pipeline,
        ),
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSubset',
        classes=classes,
        dataset=dict(
            type='mask_plugins.Digits',
            split='test',
            image_size=8,
            pipeline=_base_.test_pipeline,
        ),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
