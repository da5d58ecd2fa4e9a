_base_ = './self-kd_resnet18-c40_1xb128-50e_cifar10.py'

# The original's cls_only: the teacher is a head on the student's features.
model = dict(scope='head')
