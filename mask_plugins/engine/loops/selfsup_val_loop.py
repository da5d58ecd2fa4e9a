# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Validation while pre-training without labels."""

from mmengine.runner import ValLoop

from mask_plugins.registry import LOOPS

from .selfsup_mixin import SelfSupMixin


@LOOPS.register_module()
class SelfSupValLoop(SelfSupMixin, ValLoop):
    """Validate any self-supervised algorithm of mmpretrain by its features.

    These algorithms refuse to predict, so a stock validation fails. This
    loop passes the features of the validation set to
    :class:`mask_plugins.KNNAccuracy` (whose bank is the training set with the
    pipeline of the validation set) and :class:`mask_plugins.RankMe`; no
    ``FeatureHook`` is needed. :class:`mask_plugins.LinearProbeHook` and
    :class:`mask_plugins.LiDARHook` add theirs. The training is bit for bit
    what it is without.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Plain images, one view each.
        evaluator (dict | list): Metrics of features.
        layer (str): ``'backbone'``, what a user of the pretrained network
            gets, or ``'neck'``, the projection. Defaults to ``'backbone'``.
        **kwargs: See :class:`mmengine.runner.ValLoop`.

    Raises:
        ValueError: If ``layer`` is neither.

    Examples:
        >>> val_cfg = dict(type='mask_plugins.SelfSupValLoop')
        >>> val_evaluator = [dict(type='mask_plugins.KNNAccuracy'),
        ...                  dict(type='mask_plugins.RankMe')]
        >>> LOOPS.get(val_cfg['type']).mode
        'val'
    """

    mode = 'val'
