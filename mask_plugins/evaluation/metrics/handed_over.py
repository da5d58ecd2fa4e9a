# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a hook hands to a metric, which sees predictions only."""

from typing import Any

from mmengine.logging import MessageHub


def handed_over(key: str, metric: str, hook: str) -> Any:
    """What a hook has put into the message hub for a metric.

    Args:
        key (str): Under which it lies there.
        metric (str): Name of the metric, for the error.
        hook (str): Name of the hook, for the error.

    Raises:
        RuntimeError: If there is nothing.

    Examples:
        >>> handed_over('evaluated_none', 'RankMe', 'FeatureHook')
        Traceback (most recent call last):
        ...
        RuntimeError: mask_plugins.RankMe needs what a hook hands over...
    """
    found = MessageHub.get_current_instance().get_info(key)
    if found is None:
        raise RuntimeError(
            f'mask_plugins.{metric} needs what a hook hands over: add to the '
            f"config custom_hooks=[dict(type='mask_plugins.{hook}')]"
        )
    return found
