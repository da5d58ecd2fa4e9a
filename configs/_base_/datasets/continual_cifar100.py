# CIFAR-100 at 32 px, otherwise as CIFAR-10.
_base_ = './continual_cifar10.py'

data_preprocessor = dict(
    num_classes=100,
    mean=[129.304, 124.07, 112.434],
    std=[68.17, 65.392, 70.418],
)
source = dict(type='CIFAR100', data_root='data/cifar100')
train_dataloader = dict(dataset=dict(dataset=source))
val_dataloader = dict(dataset=dict(dataset=source))
test_dataloader = val_dataloader
