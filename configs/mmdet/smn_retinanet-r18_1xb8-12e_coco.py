# A self-masking detector.
_base_ = [
    '../_base_/mmdet/retinanet-r18_coco.py',
    '../_base_/models/smn_backbone.py',
]

model = dict(
    _delete_=True,
    module=_base_.model,  # noqa: F821
    **_base_.masked_backbone,  # noqa: F821
)
optim_wrapper = _base_.score_optim  # noqa: F821
custom_hooks = [
    *_base_.custom_hooks,  # noqa: F821
    _base_.keep_ratio_hook,  # noqa: F821
]
