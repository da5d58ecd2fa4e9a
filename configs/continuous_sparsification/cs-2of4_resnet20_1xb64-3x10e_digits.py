_base_ = './cs-half_resnet20_1xb64-3x10e_digits.py'

# The same search; the ticket keeps two of each four input channels.
default_hooks = dict(sparsification=dict(ticket_pattern='2:4'))
