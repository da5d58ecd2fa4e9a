_base_ = ['./pass-stream_resnet18_224px.py']

model = dict(backbone=dict(patch_sizes=(8, 8, 4, 2)))
size = 512
train_dataloader = dict(dataset=dict(image_size=size))
val_dataloader = dict(dataset=dict(image_size=size))
test_dataloader = dict(dataset=dict(image_size=size))
