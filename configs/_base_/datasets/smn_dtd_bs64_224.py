# Describable Textures: CoOp's split and folders; train and
# val are trained on.
_base_ = './smn_bs64_224.py'

data_root = 'data/dtd'
data_preprocessor = dict(num_classes=47)
split = dict(
    type='mask_plugins.ZhouSplitDataset',
    data_root=data_root,
    ann_file='split_zhou_DescribableTextures.json',
    data_prefix='images',
)

train_dataloader = dict(dataset=dict(**split, split='trainval'))
val_dataloader = dict(dataset=dict(**split, split='test'))
test_dataloader = val_dataloader
