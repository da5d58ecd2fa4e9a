_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

param_scheduler = dict(milestones=[35, 50])
train_cfg = dict(max_epochs=70)
