_base_ = './hgsl_resnet50_cub.py'

# Selection without a look at the test classes: 80 of the training classes
# train, the epoch is chosen on the other 20, the test is as ever.
model = dict(head=dict(num_classes=80))
data_preprocessor = dict(num_classes=80)
train_dataloader = dict(dataset=dict(classes=(0, 80)))
val_dataloader = dict(dataset=dict(classes=(80, 100)))
test_dataloader = dict(dataset=dict(classes=(100, 200)))
default_hooks = dict(
    checkpoint=dict(save_best='retrieval/recall@1', rule='greater')
)
