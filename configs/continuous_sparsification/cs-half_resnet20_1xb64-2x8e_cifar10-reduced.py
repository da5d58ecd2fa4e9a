_base_ = './cs_resnet20_1xb64-2x8e_cifar10-reduced.py'

# A ticket of exactly half of the weights.
default_hooks = dict(sparsification=dict(target_sparsity=0.5))
