# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Test on several data sets."""

from mmengine.runner import TestLoop

from mask_plugins.registry import LOOPS

from .extra_sets import ExtraSetsMixin


@LOOPS.register_module()
class MultiSetTestLoop(ExtraSetsMixin, TestLoop):
    """Evaluate on several data sets, one after the other.

    As :class:`MultiSetValLoop`, of ``test_dataloader``, ``test_cfg`` and
    ``test_evaluator``.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Of the main set.
        evaluator (dict | list): Metrics of the main set.
        extra_sets (dict): Name to the config of a data set.
        **kwargs: See :class:`mmengine.runner.TestLoop`.

    Raises:
        TypeError: If ``extra_sets`` is not a dict of configs, or the loader or
            the metrics are objects.
        ValueError: If a name is empty or has a ``/``.

    Examples:
        >>> test_cfg = dict(
        ...     type='mask_plugins.MultiSetTestLoop',
        ...     extra_sets=dict(
        ...         cifar10_1=dict(
        ...             type='mask_plugins.CIFAR10_1',
        ...             data_root='data/cifar10.1',
        ...         )
        ...     ),
        ... )
        >>> LOOPS.get(test_cfg['type']).__name__
        'MultiSetTestLoop'
    """
