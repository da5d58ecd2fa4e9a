# UCF101, the middle frame of each video: CoOp's split and folders; train and
# val are trained on.
_base_ = './smn_bs64_224.py'

data_root = 'data/ucf101'
data_preprocessor = dict(num_classes=101)
split = dict(
    type='mask_plugins.ZhouSplitDataset',
    data_root=data_root,
    ann_file='split_zhou_UCF101.json',
    data_prefix='UCF-101-midframes',
)

train_dataloader = dict(dataset=dict(**split, split='trainval'))
val_dataloader = dict(dataset=dict(**split, split='test'))
test_dataloader = val_dataloader
