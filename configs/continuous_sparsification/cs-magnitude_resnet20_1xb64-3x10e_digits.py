_base_ = './cs_resnet20_1xb64-3x10e_digits.py'

# Baseline: the search is a dense training (a temperature of 1 and logits that
# do not move keep every mask at 1), the ticket has its largest weights.
optim_wrapper = dict(paramwise_cfg=dict(masks=dict(lr=0.0)))
default_hooks = dict(
    sparsification=dict(
        final_temperature=1.0,
        penalty=0.0,
        target_sparsity=0.94,
        ticket_by='magnitude',
    )
)
