_base_ = './masked-feature-head_resnet18-c40_1xb128-50e_cifar10.py'

# The original's complemaskclsol2: squared distance of class probabilities.
model = dict(head=dict(mask_loss='l2', mask_softmax=True))
