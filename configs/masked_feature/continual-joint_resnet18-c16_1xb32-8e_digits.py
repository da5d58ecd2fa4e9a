# The upper bound: all classes in one task, for as long as one task lasts. An
# epoch is five times as long as one of five tasks.
_base_ = './continual-naive_resnet18-c16_1xb32-8e_digits-5tasks.py'

train_dataloader = dict(dataset=dict(tasks=1))
val_dataloader = dict(dataset=dict(tasks=1))
test_dataloader = val_dataloader
