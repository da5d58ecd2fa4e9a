# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy of a k-nearest-neighbor classifier on features."""

from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.dist import all_gather_object, get_rank
from torch import Tensor

from mask_plugins.functional.knn import knn_predict
from mask_plugins.registry import METRICS
from mask_plugins.utils.checks import check_choice, check_int, check_number

from .feature_metric import (
    EvaluatedFeatures,
    FeatureMetric,
    labels_of_samples,
)

BANKS = ('train', 'self')


@METRICS.register_module()
class KNNAccuracy(FeatureMetric):
    """How often the neighbors of an image name its class.

    The weighted vote of "Unsupervised Feature Learning via Non-Parametric
    Instance Discrimination" (Wu et al., CVPR 2018), section 3.4: the k
    neighbors of the highest cosine vote with exp(cosine / T). Neighbors are
    exact; similarities are computed in blocks, so memory stays bounded.

    Needs ``dict(type='mask_plugins.FeatureHook')`` among the hooks, with
    ``bank=True`` if the neighbors are those of the training set. The
    results, in %: ``knn/top1``, ``knn/top5`` by default; NaN if a feature is
    not finite.

    Args:
        k (int): Neighbors; all of a smaller bank. Defaults to 200.
        temperature (float): T, above 0. Defaults to 0.1.
        bank (str): ``'train'``, images of the training set without
            augmentation, or ``'self'``, all other images of the evaluated
            set. Defaults to ``'train'``.
        topk (Sequence[int]): Which accuracies. Defaults to (1, 5).
        prefix (str, optional): Replaces ``knn``. Defaults to None.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        TypeError, ValueError: If ``k`` or ``topk`` is below 1, ``topk`` is
            empty or has doubles, ``temperature`` is not above 0, or ``bank``
            is unknown.

    Examples:
        >>> KNNAccuracy(k=20, bank='self', topk=1).topk
        (1,)
    """

    default_prefix = 'knn'

    def __init__(
        self,
        k: int = 200,
        temperature: float = 0.1,
        bank: str = 'train',
        topk: Sequence[int] = (1, 5),
        **kwargs,
    ) -> None:
        topk = (topk,) if isinstance(topk, int) else tuple(topk)
        self.k = check_int('k', k, 1)
        self.temperature = check_number(
            'temperature', temperature, 0, ends='()'
        )
        self.bank = check_choice('bank', bank, BANKS)
        self.topk = tuple(check_int('topk', one, 1) for one in topk)
        if not topk or len(set(topk)) < len(topk):
            raise ValueError(f'topk must be numbers, each once, got {topk}')
        super().__init__(**kwargs)

    def reset(self) -> None:
        """Forget all samples."""
        self._correct = [0] * len(self.topk)
        self._count = 0
        self._kept: List[tuple] = []

    def add(
        self,
        batch: EvaluatedFeatures,
        samples: Sequence[Dict[str, Any]],
        positions: List[int],
    ) -> None:
        """Let neighbors vote, or keep the batch until all are there."""
        labels = labels_of_samples(samples)
        if self.bank == 'self':
            self._kept.append((batch.values.cpu(), labels))
            return
        if batch.bank is None:
            raise RuntimeError(
                "KNNAccuracy(bank='train') needs the hook "
                "dict(type='mask_plugins.FeatureHook', bank=True)"
            )
        if not self._count:  # the first batch
            self.note_rows(batch.bank.values)
        self._ask(batch.values, labels, *batch.bank[:2])

    def result(self) -> Dict[str, float]:
        """Add the ranks up, then the numbers."""
        if self.bank == 'self':
            self._ask_each_other()
        parts = all_gather_object((self._count, self._correct))
        counts, correct = zip(*parts)
        if not sum(counts):
            raise ValueError('mask_plugins.KNNAccuracy got no samples')
        return {
            f'top{k}': 100 * sum(hits) / sum(counts)
            for k, hits in zip(self.topk, zip(*correct))
        }

    def _ask_each_other(self) -> None:
        """Each rank lets its own samples ask those of all ranks."""
        own = [torch.cat(part) for part in zip(*self._kept)]
        parts = all_gather_object(own)
        if not own:
            return
        first = sum(len(part[1]) for part in parts[: get_rank()] if part)
        gallery = [torch.cat(part) for part in zip(*filter(None, parts))]
        self._ask(*own, *gallery, exclude=first + torch.arange(len(own[1])))

    def _ask(
        self,
        values: Tensor,
        labels: Tensor,
        bank: Tensor,
        bank_labels: Tensor,
        exclude: Optional[Tensor] = None,
    ) -> None:
        """Count how often the neighbors in the bank are correct."""
        bank, bank_labels = (x.to(values.device) for x in (bank, bank_labels))
        most = max(self.topk)
        found = knn_predict(
            values, bank, bank_labels, self.k, self.temperature, most, exclude
        )
        hits = found.cpu() == labels[:, None]
        self._count += len(labels)
        for index, k in enumerate(self.topk):
            self._correct[index] += int(hits[:, :k].sum())
