_base_ = ['./pass-stream_resnet18_1xb1_video-224px.py']

model = dict(backbone=dict(patch_sizes=(4, 4, 4, 4)))
size = 512
train_dataloader = dict(dataset=dict(image_size=size))
val_dataloader = dict(dataset=dict(image_size=size))
test_dataloader = dict(dataset=dict(image_size=size))
