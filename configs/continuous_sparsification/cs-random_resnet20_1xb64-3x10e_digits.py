_base_ = './cs_resnet20_1xb64-3x10e_digits.py'

# Baseline: a random ticket of the sparsity that the search finds.
default_hooks = dict(
    sparsification=dict(target_sparsity=0.94, ticket_by='random')
)
