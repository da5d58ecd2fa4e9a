# The same network, narrower, for 8 px: features of 128 channels. The last
# stage keeps 2 x 2 places, so that there is something to pool.
_base_ = './mf_resnet18-c40.py'

model = dict(
    backbone=dict(base_channels=16, stem_channels=16, strides=(1, 2, 2, 1)),
    head=dict(in_channels=128),
)
