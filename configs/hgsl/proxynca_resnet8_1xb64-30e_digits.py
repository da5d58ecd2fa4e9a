_base_ = [
    '../_base_/models/proxynca_resnet8.py',
    '../_base_/datasets/retrieval_digits_bs64.py',
    '../_base_/schedules/retrieval_sgd_30e.py',
]

# Proxies need longer steps than the network.
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'head.metric_loss': dict(lr_mult=10.0)})
)
