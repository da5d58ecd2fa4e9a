# Learning without Forgetting: the model as it was when the last task had been
# learned teaches the classes that it knew.
_base_ = './continual_resnet18.py'

model = dict(
    type='mask_plugins.ReferenceClassifier',
    teacher=dict(type='mask_plugins.TaskTeacher'),
    scope='whole',
    kd_loss=dict(type='mask_plugins.OldClassesLoss', loss='kd'),
    # The original's lambda of 3, whose loss lacks the factor T^2 = 4.
    loss_weight=0.75,
)
