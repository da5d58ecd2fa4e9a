_base_ = [
    '../_base_/models/triplet_resnet8.py',
    '../_base_/datasets/retrieval_digits_bs64.py',
    '../_base_/schedules/retrieval_sgd_30e.py',
]

train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type='mask_plugins.MPerClassSampler',
        samples_per_class=4,
    )
)
