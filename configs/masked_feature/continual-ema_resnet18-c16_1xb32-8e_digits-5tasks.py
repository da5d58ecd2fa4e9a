# The teacher of the old classes is a moving average of the student.
_base_ = './continual-lwf_resnet18-c16_1xb32-8e_digits-5tasks.py'

model = dict(
    teacher=dict(
        _delete_=True,
        type='mask_plugins.EMATeacher',
        mode='ema',
        momentum=0.02,
    )
)
