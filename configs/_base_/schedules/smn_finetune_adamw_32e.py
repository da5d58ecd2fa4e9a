# Fine-tuning of all that would be masked: the paper's baseline of CLIP.
_base_ = './smn_finetune_150e.py'

optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='AdamW',
        lr=5e-4,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.2,
    ),
)
train_cfg = dict(max_epochs=32)
