# Cars-196, zero-shot: the first 98 classes train, among the others
# all images of both official splits are queries and gallery.
_base_ = './retrieval_cub_bs84.py'

data_preprocessor = dict(num_classes=98)
source = dict(type='StanfordCars', data_root='data/stanfordcars')
train_dataloader = dict(
    dataset=dict(
        dataset=[
            dict(split='train', pipeline=_base_.train_pipeline, **source),
            dict(split='test', pipeline=_base_.train_pipeline, **source),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        dataset=[
            dict(split='train', pipeline=_base_.test_pipeline, **source),
            dict(split='test', pipeline=_base_.test_pipeline, **source),
        ],
    ),
)
test_dataloader = val_dataloader
