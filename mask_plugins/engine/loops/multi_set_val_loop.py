# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Validation on several data sets."""

from mmengine.runner import ValLoop

from mask_plugins.registry import LOOPS

from .extra_sets import ExtraSetsMixin


@LOOPS.register_module()
class MultiSetValLoop(ExtraSetsMixin, ValLoop):
    """Evaluate on several data sets, one after the other.

    The data set of ``val_dataloader`` is the main one, and its metrics are
    as without this loop. Those of another are called ``<name>/<metric>``, as
    ``cifar10_1/accuracy/top1``, and are logged together with them.

    Loader settings, pipeline and metrics of another set are those of the main
    one, unless its config has a ``pipeline`` or an ``evaluator``. Where an
    ``EMAHook`` evaluates the trained weights too, it does so on the main set.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Of the main set.
        evaluator (dict | list): Metrics of the main set.
        extra_sets (dict): Name to the config of a data set.
        **kwargs: See :class:`mmengine.runner.ValLoop`.

    Raises:
        TypeError: If ``extra_sets`` is not a dict of configs, or the loader or
            the metrics are objects.
        ValueError: If a name is empty or has a ``/``.

    Examples:
        >>> val_cfg = dict(
        ...     type='mask_plugins.MultiSetValLoop',
        ...     extra_sets=dict(
        ...         cifar10_1=dict(
        ...             type='mask_plugins.CIFAR10_1',
        ...             data_root='data/cifar10.1',
        ...         )
        ...     ),
        ... )
        >>> LOOPS.get(val_cfg['type']).__name__
        'MultiSetValLoop'
    """
