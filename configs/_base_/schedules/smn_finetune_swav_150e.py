# Fine-tuning of all that would be masked: the paper's baseline of SwAV.
_base_ = './smn_finetune_150e.py'

optim_wrapper = dict(optimizer=dict(lr=0.15, weight_decay=1e-6))
