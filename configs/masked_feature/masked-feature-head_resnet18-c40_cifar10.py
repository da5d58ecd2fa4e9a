_base_ = './masked-feature_resnet18-c40_cifar10.py'

# The reference is a head on the student's features: almost as cheap as CE.
model = dict(scope='head')
