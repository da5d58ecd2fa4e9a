_base_ = './ce_resnet18-c16_1xb64-15e_digits.py'

# Generalized mean pooling; p = 1 is the average, larger p nears the maximum.
model = dict(
    neck=dict(
        _delete_=True, type='GeneralizedMeanPooling', p=3.0, p_trainable=False
    )
)
