_base_ = './continual-naive_resnet18_cifar10-2tasks.py'

train_dataloader = dict(dataset=dict(tasks=5))
val_dataloader = dict(dataset=dict(tasks=5))
test_dataloader = val_dataloader
