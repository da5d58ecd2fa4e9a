_base_ = './ce_resnet18-c40_1xb128-50e_cifar10.py'

# One per seed: --work-dir work_dirs/ensemble-member_cifar10/seed-1
# --cfg-options randomness.seed=1. The original ran 200 epochs.
param_scheduler = dict(milestones=[25, 35, 45], gamma=0.2)
