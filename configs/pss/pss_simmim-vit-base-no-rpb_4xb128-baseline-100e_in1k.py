# Without relative position bias; the checkpoint has no absolute embedding, so
# a learned one (from zero) takes its place: otherwise no token has a position.
_base_ = ['./pss_simmim-vit-base_4xb128-baseline-100e_in1k.py']

model = dict(
    backbone=dict(use_rel_pos_bias=False, use_abs_pos_emb=True),
)
