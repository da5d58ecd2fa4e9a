_base_ = './masked-feature_resnet18-c40_1xb128-50e_cifar10.py'

# The reference is a head on the student's features: almost as cheap as CE.
model = dict(scope='head')
