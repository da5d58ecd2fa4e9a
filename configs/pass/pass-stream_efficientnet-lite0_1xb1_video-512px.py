_base_ = ['./pass-stream_efficientnet-lite0_1xb1_video-224px.py']

size = 512
train_dataloader = dict(dataset=dict(image_size=size))
val_dataloader = dict(dataset=dict(image_size=size))
test_dataloader = dict(dataset=dict(image_size=size))
