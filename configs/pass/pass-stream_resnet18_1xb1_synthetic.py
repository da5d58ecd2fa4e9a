# Step 3: sparse inference of streams, next to the dense network:
#   mim test mmpretrain THIS --checkpoint work_dirs/.../epoch_3.pth
_base_ = ['./pass-finetune_resnet18_1xb16-3e_synthetic.py']

model = dict(running_mode='Test', compare_dense=True)
custom_hooks = [
    dict(type='mask_plugins.SeedHook'),
    dict(type='mask_plugins.TrainLogHook'),
    dict(type='mask_plugins.RunningModeHook', mode='FineTuning'),
]
test_evaluator = [
    dict(type='Accuracy'),
    dict(type='mask_plugins.SkipRatio', per_layer=True),
]
