_base_ = './cs-half_resnet20_1xb64-2x8e_cifar10-reduced.py'

# The same search; the ticket keeps two of each four input channels.
default_hooks = dict(sparsification=dict(ticket_pattern='2:4'))
