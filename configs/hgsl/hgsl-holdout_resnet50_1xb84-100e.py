_base_ = './hgsl_resnet50_1xb84-100e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$HGSL_DATASET:cub}}'
# Selection without a look at the test classes: four fifths of the training
# classes train, the epoch is chosen on the others, the test is unchanged.
num_classes = _base_.data_preprocessor.num_classes
seen = num_classes * 4 // 5
model = dict(head=dict(num_classes=seen))
data_preprocessor = dict(num_classes=seen)
train_dataloader = dict(dataset=dict(classes=(0, seen)))
val_dataloader = dict(dataset=dict(classes=(seen, num_classes)))
test_dataloader = dict(dataset=dict(classes=(num_classes, 2 * num_classes)))
default_hooks = dict(
    checkpoint=dict(save_best='retrieval/recall@1', rule='greater')
)
