# Oxford Flowers-102: CoOp's split and folders; train and
# val are trained on.
_base_ = './smn_bs64_224.py'

data_root = 'data/oxford_flowers'
data_preprocessor = dict(num_classes=102)
split = dict(
    type='mask_plugins.ZhouSplitDataset',
    data_root=data_root,
    ann_file='split_zhou_OxfordFlowers.json',
    data_prefix='jpg',
)

train_dataloader = dict(dataset=dict(**split, split='trainval'))
val_dataloader = dict(dataset=dict(**split, split='test'))
test_dataloader = val_dataloader
