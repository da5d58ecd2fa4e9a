_base_ = './continual-naive_resnet18_cifar100-2tasks.py'

train_dataloader = dict(dataset=dict(tasks=10))
val_dataloader = dict(dataset=dict(tasks=10))
test_dataloader = val_dataloader
