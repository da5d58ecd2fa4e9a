_base_ = ['./pass-stream_resnet18_1xb1_video-512px.py']

model = dict(
    backbone=dict(
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    head=dict(in_channels=2048),
)
