_base_ = './masked-feature_resnet18-c16_1xb64-15e_digits.py'

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
        begin=8,
    ),
    head=dict(inv_mode='none', mask_loss='cosine'),
)
