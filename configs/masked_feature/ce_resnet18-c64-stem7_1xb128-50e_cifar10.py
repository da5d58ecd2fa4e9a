_base_ = './ce_resnet18-c64_1xb128-50e_cifar10.py'

# The ImageNet network as it is: a 7x7 stem of stride 2, then a max pooling.
model = dict(backbone=dict(type='ResNet'))
