_base_ = [
    '../_base_/models/pss_vit-tiny_digits.py',
    '../_base_/datasets/digits_bs16.py',
    '../_base_/schedules/cs_sgd_4x85e.py',
]

# Linear layers of a transformer: every weight matrix of the blocks has a soft
# mask. No norm follows them, so what a ticket keeps counts as it is.
model = dict(
    backbone=dict(
        _delete_=True,
        type='mask_plugins.MaskedModel',
        module=_base_.model.backbone,
        rules=[('layers.*.weight', 'mask')],
        mask=dict(type='mask_plugins.SoftMask', init=0.0, ticket_scale='one'),
    )
)
