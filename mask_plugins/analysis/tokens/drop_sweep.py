# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy, speed and cost of one model at several drop ratios."""

import time
from typing import Any, Dict, Iterable, List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask_plugins.apis.data import labels_of
from mask_plugins.apis.model import preprocess, set_drop_ratio
from mask_plugins.utils.timing import synchronize

from .flops import count_gflops

WARM_UP_PASSES = 2


class _Meter:
    """Sums over the test set at one ratio."""

    def __init__(self) -> None:
        self.images = self.top1 = self.top5 = self.classes = 0
        self.loss = 0.0
        self.seconds: Dict[int, List[float]] = {}  # by batch size

    def add(self, logits: Tensor, labels: Tensor, seconds: float) -> None:
        logits = logits.float()
        self.images += len(labels)
        self.classes = logits.size(1)
        self.loss += F.cross_entropy(logits, labels, reduction='sum').item()
        best = logits.topk(min(5, self.classes), dim=1).indices
        correct = best == labels[:, None]
        self.top1 += int(correct[:, 0].sum())
        self.top5 += int(correct.sum())
        self.seconds.setdefault(len(labels), []).append(seconds)

    def record(self) -> Dict[str, float]:
        # A smaller last batch would measure another batch size.
        size = max(self.seconds)
        times = self.seconds[size]
        record = dict(
            acc1=100 * self.top1 / self.images,
            acc5=100 * self.top5 / self.images,
            loss=self.loss / self.images,
            time=sum(map(sum, self.seconds.values())),
            throughput=size * len(times) / sum(times),
        )
        if self.classes < 5:
            del record['acc5']
        return record


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
    meters = {ratio: _Meter() for ratio in drop_ratios}
    costs: Dict[float, Dict[str, Any]] = {}
    try:
        for batch in batches:
            labels = torch.tensor(labels_of(batch))
            images = preprocess(model, batch)
            labels = labels.to(images.device)
            for ratio, meter in meters.items():
                set_drop_ratio(model, ratio)
                if ratio not in costs:
                    costs[ratio] = _cost(model, images[:1])
                    for _ in range(WARM_UP_PASSES):
                        _timed(model, images)
                logits, seconds = _timed(model, images)
                meter.add(logits, labels, seconds)
    finally:
        set_drop_ratio(model, 0.0)
    if not costs:
        raise ValueError('there are no images to test')
    return [
        dict(
            drop_ratio=ratio,
            **meter.record(),
            **costs[ratio],
            images=meter.images,
        )
        for ratio, meter in meters.items()
    ]


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

    def note(module, args, output):
        if isinstance(output, Tensor) and output.dim() == 3:
            seen[0] = output.size(1)

    layers = getattr(getattr(model, 'backbone', None), 'layers', None)
    handle = None
    if isinstance(layers, nn.ModuleList) and len(layers):
        handle = layers[0].register_forward_hook(note)
    try:
        flops = count_gflops(lambda: model(image, mode='tensor'))
    finally:
        if handle is not None:
            handle.remove()
    return dict(tokens=seen[0], flops=flops)
