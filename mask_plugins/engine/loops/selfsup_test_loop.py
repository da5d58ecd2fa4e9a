# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Test of a network that was pre-trained without labels."""

from mmengine.runner import TestLoop

from mask_plugins.registry import LOOPS

from .selfsup_mixin import SelfSupMixin


@LOOPS.register_module()
class SelfSupTestLoop(SelfSupMixin, TestLoop):
    """What :class:`mask_plugins.SelfSupValLoop` does, in a test.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Plain images, one view each.
        evaluator (dict | list): Metrics of features.
        layer (str): ``'backbone'`` or ``'neck'``. Defaults to
            ``'backbone'``.
        **kwargs: See :class:`mmengine.runner.TestLoop`.

    Raises:
        ValueError: If ``layer`` is neither.

    Examples:
        >>> test_cfg = dict(type='mask_plugins.SelfSupTestLoop')
        >>> LOOPS.get(test_cfg['type']).mode
        'test'
    """

    mode = 'test'
