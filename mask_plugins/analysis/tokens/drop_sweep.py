# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy, speed and cost of one model at several drop ratios."""

import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask_plugins.apis.data import labels_of
from mask_plugins.apis.model import set_drop_ratio
from mask_plugins.apis.preprocess import preprocess
from mask_plugins.utils.timing import synchronize

from .flops import count_gflops

WARM_UP_PASSES = 2


@torch.no_grad()
def sweep_drop_ratios(
    model: nn.Module,
    batches: Iterable[Dict[str, Any]],
    drop_ratios: Sequence[float],
) -> List[Dict[str, Any]]:
    """Test a classifier at several drop ratios.

    The ratios take turns on each batch, so that each image is loaded once,
    and a machine that slows down slows all of them.

    Args:
        model (nn.Module): What :func:`load_model` returned.
        batches (Iterable): Collated batches of the test set.
        drop_ratios (Sequence[float]): Shares of tokens dropped.

    Returns:
        list[dict]: Per ratio: ``drop_ratio``; ``acc1``, ``acc5`` in %;
        ``loss``, the mean cross-entropy; ``time``, seconds of all forward
        passes; ``throughput``, images/s of the forward passes of full
        batches (without loading and preprocessing, after a warm-up);
        ``tokens`` that pass the blocks, the class token included (None if
        the backbone has no blocks); ``flops``, billions of multiply-adds per
        image; ``images``, how many were tested.

    Raises:
        ValueError: If the model does not give one score per class, or there
            are no batches.
    """
    rows: Dict[float, List[tuple]] = {ratio: [] for ratio in drop_ratios}
    costs: Dict[float, Dict[str, Any]] = {}
    try:
        for batch in batches:
            labels = torch.tensor(labels_of(batch))
            images = preprocess(model, batch)
            labels = labels.to(images.device)
            for ratio in drop_ratios:
                set_drop_ratio(model, ratio)
                if ratio not in costs:
                    costs[ratio] = _cost(model, images[:1])
                    for _ in range(WARM_UP_PASSES):
                        _timed(model, images)
                logits, seconds = _timed(model, images)
                rows[ratio].append((*_sums(logits, labels), seconds))
    finally:
        set_drop_ratio(model, 0.0)
    if not costs:
        raise ValueError('there are no images to test')
    classes = logits.size(1)
    return [
        dict(drop_ratio=ratio, **_record(part, classes), **costs[ratio])
        for ratio, part in rows.items()
    ]


def _sums(logits: Tensor, labels: Tensor) -> Tuple[float, ...]:
    """Number of images, their losses, and how many are in top 1 and 5."""
    logits = logits.float()
    loss = F.cross_entropy(logits, labels, reduction='sum').item()
    best = logits.topk(min(5, logits.size(1)), dim=1).indices
    correct = best == labels[:, None]
    return len(labels), loss, int(correct[:, 0].sum()), int(correct.sum())


def _record(rows: Sequence[tuple], classes: int) -> Dict[str, float]:
    images, loss, top1, top5, seconds = np.array(rows, dtype=float).T
    # A smaller last batch would measure another batch size.
    full = images == images.max()
    total = images.sum()
    record = dict(
        acc1=100 * top1.sum() / total,
        acc5=100 * top5.sum() / total,
        loss=loss.sum() / total,
        time=seconds.sum(),
        throughput=images[full].sum() / seconds[full].sum(),
    )
    if classes < 5:
        del record['acc5']
    record = {key: float(value) for key, value in record.items()}
    return dict(record, images=int(total))


def _timed(model: nn.Module, images: Tensor):
    """Logits, and the seconds until they are there."""
    synchronize(str(images.device))
    start = time.perf_counter()
    logits = model(images, mode='tensor')
    synchronize(str(images.device))
    seconds = time.perf_counter() - start
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        raise ValueError(
            'the model must give one score per class, (B, classes); '
            f'{type(model).__name__} gave {type(logits).__name__}'
        )
    return logits, seconds


def _cost(model: nn.Module, image: Tensor) -> Dict[str, Any]:
    """Tokens in the blocks and operations, of one image."""
    seen: List[Optional[int]] = [None]
    layers = getattr(getattr(model, 'backbone', None), 'layers', None)
    handles = []
    if isinstance(layers, nn.ModuleList) and len(layers):

        def note(module, args, output):
            if isinstance(output, Tensor) and output.dim() == 3:
                seen[0] = output.size(1)

        handles.append(layers[0].register_forward_hook(note))
    try:
        flops = count_gflops(model, image, mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    return dict(tokens=seen[0], flops=flops)
