# The digits, 8 x 8, two classes at a time.
_base_ = './digits_8px_bs64.py'

tasks = dict(type='mask_plugins.TaskSplit', tasks=5, seed=0)
train_dataloader = dict(
    batch_size=32,
    drop_last=True,
    dataset=dict(
        _delete_=True,
        **tasks,
        dataset=dict(
            type='mask_plugins.Digits',
            split='train',
            image_size=8,
            pipeline=_base_.train_pipeline,
        ),
    ),
    sampler=dict(type='mask_plugins.TaskSampler', shuffle=True),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **tasks,
        dataset=dict(
            type='mask_plugins.Digits',
            split='test',
            image_size=8,
            pipeline=_base_.test_pipeline,
        ),
    ),
)
val_evaluator = dict(_delete_=True, type='mask_plugins.TaskAccuracy')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
