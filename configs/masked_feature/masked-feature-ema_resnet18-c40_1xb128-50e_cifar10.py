_base_ = './masked-feature_resnet18-c40_1xb128-50e_cifar10.py'

# The original's complemaskema: the reference is a moving average, logits are
# compared by their angle, and there is no inverse.
model = dict(
    teacher=dict(
        _delete_=True,
        type='mask_plugins.EMATeacher',
        mode='ema',
        momentum=0.2,
        gamma=100,
        interval=1,
        begin=25,
    ),
    head=dict(inv_mode='none', mask_loss='cosine'),
)
