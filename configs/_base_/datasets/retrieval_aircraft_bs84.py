# FGVC-Aircraft, zero-shot: the first 50 classes train, among the others
# all images of both official splits are queries and gallery.
_base_ = './retrieval_cub_bs84.py'

data_preprocessor = dict(num_classes=50)
source = dict(type='FGVCAircraft', data_root='data/fgvc-aircraft-2013b')
train_dataloader = dict(
    dataset=dict(
        dataset=[
            dict(split='trainval', pipeline=_base_.train_pipeline, **source),
            dict(split='test', pipeline=_base_.train_pipeline, **source),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        dataset=[
            dict(split='trainval', pipeline=_base_.test_pipeline, **source),
            dict(split='test', pipeline=_base_.test_pipeline, **source),
        ],
    ),
)
test_dataloader = val_dataloader
