_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

# Generalized mean pooling; p = 1 is the average, larger p nears the maximum.
model = dict(
    neck=dict(
        _delete_=True, type='GeneralizedMeanPooling', p=3.0, p_trainable=False
    )
)
