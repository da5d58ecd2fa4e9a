# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The labels of a batch, checked before a loss of torch gets them."""

from typing import Any, Collection, Optional, Sequence

import torch
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn

from mask_plugins.functional.labels import check_labels, ignored_labels

NAME = 'gt_label of data_samples'


def batch_labels(
    data_samples: Sequence[Any],
    like: Tensor,
    stop: int,
    start: int = 0,
    ignored: Collection[int] = (),
) -> Tensor:
    """The labels of data samples, one per row.

    Args:
        data_samples (Sequence[DataSample]): With ``gt_label``.
        like (Tensor): Embeddings or scores, :math:`(B, *)`.
        stop (int): Labels are below it.
        start (int): The least label. Defaults to 0.
        ignored (Collection[int]): Labels that are allowed besides. Defaults to
            ().

    Returns:
        Tensor: int64 :math:`(B,)`, on the device of ``like``.

    Raises:
        TypeError, ValueError: If there are none, a sample has no label or
            several, or labels are no classes.
    """
    rows = len(like)
    if not rows or len(data_samples) != rows:
        raise ValueError(
            'data_samples must be one per row of a batch that is not empty, '
            f'got {len(data_samples)} for {rows} rows'
        )
    try:
        labels = torch.cat([sample.gt_label for sample in data_samples])
    except AttributeError as error:
        raise ValueError(f'{NAME} must be given for each row') from error
    check_labels(NAME, labels, rows, stop, start, ignored)
    return labels.to(like.device)


def check_head_labels(
    head: nn.Module,
    like: Tensor,
    data_samples: Sequence[Any],
    classes: Optional[range] = None,
) -> None:
    """Check labels before a head of mmpretrain computes its loss.

    Labels that are mixed (``gt_score``) and heads of several labels per
    sample are left to the head, and so is what is not on the CPU.

    Args:
        head (nn.Module): The head.
        like (Tensor): Features or scores of the batch, :math:`(B, *)`.
        data_samples (Sequence[DataSample]): Its labels.
        classes (range, optional): Those that the labels may be. Defaults to
            None: ``num_classes`` of the head.

    Raises:
        TypeError, ValueError: As :func:`batch_labels`.
    """
    first = data_samples[0] if len(data_samples) else {}
    if classes is None and isinstance(head, ClsHead):
        classes = range(getattr(head, 'num_classes', None) or 0)
    if not classes or 'gt_score' in first:
        return
    if 'gt_label' in first and first.gt_label.device.type != 'cpu':
        return
    batch_labels(
        data_samples, like, classes.stop, classes.start, ignored_labels(head)
    )


class ChecksLabels:
    """A ``ClsHead`` whose loss names labels that are wrong."""

    def _get_loss(
        self, cls_score: Tensor, data_samples: Sequence[Any], **kwargs
    ) -> dict:
        check_head_labels(self, cls_score, data_samples)
        return super()._get_loss(cls_score, data_samples, **kwargs)
