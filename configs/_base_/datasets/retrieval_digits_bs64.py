# Digits, zero-shot: 0 to 4 train; among all images of 5 to 9, each is sought.
_base_ = './digits_8px_bs64.py'

data_preprocessor = dict(num_classes=5)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSplit',
        part='train',
        dataset=[
            dict(
                type='mask_plugins.Digits',
                split='train',
                image_size=8,
                pipeline=_base_.train_pipeline,
            ),
            dict(
                type='mask_plugins.Digits',
                split='test',
                image_size=8,
                pipeline=_base_.train_pipeline,
            ),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mask_plugins.ClassSplit',
        part='test',
        dataset=[
            dict(
                type='mask_plugins.Digits',
                split='train',
                image_size=8,
                pipeline=_base_.test_pipeline,
            ),
            dict(
                type='mask_plugins.Digits',
                split='test',
                image_size=8,
                pipeline=_base_.test_pipeline,
            ),
        ],
    )
)
val_evaluator = dict(_delete_=True, type='mask_plugins.RetrievalMetrics')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
