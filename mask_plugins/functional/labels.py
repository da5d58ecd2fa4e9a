# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whether labels are numbers of classes."""

from typing import Collection, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.utils.compat_torch import is_compiling

IGNORED = -100  # by torch's own default


def check_labels(
    name: str,
    labels: Tensor,
    rows: int,
    stop: int,
    start: int = 0,
    ignored: Collection[int] = (),
) -> None:
    """Refuse labels that are not classes of the rows of a batch.

    Values are looked at where they are on the CPU and no graph is traced:
    elsewhere each step would wait for the device.
    :class:`mask_plugins.ClassCountHook` looks at those of a training before
    they leave the CPU.

    Args:
        name (str): What they are, for the error.
        labels (Tensor): int64 :math:`(B,)`.
        rows (int): B.
        stop (int): Labels are below it, as in ``range``.
        start (int): The least one. Defaults to 0.
        ignored (Collection[int]): Values that are allowed besides. Defaults to
            ().

    Raises:
        TypeError: If their dtype is another.
        ValueError: If there is not one per row, or one is out of range.

    Examples:
        >>> check_labels('labels', torch.tensor([0, 2]), 2, 3)
        >>> check_labels('labels', torch.tensor([0, 3]), 2, 3)
        Traceback (most recent call last):
        ...
        ValueError: labels must be classes in [0, 2], got 3 in row 1
    """
    if labels.dtype != torch.int64:
        raise TypeError(f'{name} must be int64, got {labels.dtype}')
    if labels.shape != (rows,):
        raise ValueError(
            f'{name} must have shape ({rows},), one per row, got '
            f'{tuple(labels.shape)}'
        )
    if labels.device.type != 'cpu' or is_compiling():
        return
    wrong = (labels < start) | (labels >= stop)
    for value in ignored:
        wrong &= labels != value
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f'{name} must be classes in [{start}, {stop - 1}], got '
            f'{int(labels[row])} in row {row}'
        )


def ignored_labels(head: nn.Module) -> Tuple[int, ...]:
    """Labels without a loss: torch's own, and that of the head's loss.

    Args:
        head (nn.Module): Any head.

    Examples:
        >>> ignored_labels(nn.Identity())
        (-100,)
    """
    own = getattr(getattr(head, 'loss_module', None), 'ignore_index', None)
    return (IGNORED,) if own is None else (IGNORED, own)
