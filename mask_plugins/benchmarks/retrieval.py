# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What HGSL and the measures of retrieval cost."""

from dataclasses import dataclass
from typing import Any, List, Sequence

import torch
from torch import Tensor

from mask_plugins.functional.hgsl import (
    center_decorrelation,
    center_distances,
    hard_softmin,
    unit_rows,
)
from mask_plugins.functional.retrieval import evaluate_retrieval
from mask_plugins.utils.checks import check_int
from mask_plugins.utils.timing import Case, peak_memory

from .benchmark import Benchmark
from .statistics import spread_ms


def plain_hgsl(x: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """HGSL, k = 1, as one would write it first: a loop over the batch."""
    x = x / (x.square().sum(1, keepdim=True) + 1e-10).sqrt()
    centers = weight / weight.norm(dim=1, keepdim=True).detach()
    total = x.new_zeros(())
    for row, label in zip(x, labels.tolist()):
        logits = 100 * (1 - ((centers - row).square().sum(1) + 1e-6).sqrt())
        hard = logits.topk(1).values
        total = total - logits[label] + hard.logsumexp(0)
    products = (centers @ centers.T).abs()
    count = len(centers)
    off = products.sum() - products.diagonal().sum()
    return total / len(x) + 0.1 * off / (count * (count - 1))


def our_hgsl(x: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """The same through ``mask_plugins.functional.hgsl``."""
    centers = weight / weight.norm(dim=1, keepdim=True).detach()
    distances = center_distances(unit_rows(x), centers)
    loss = hard_softmin(100 * (1 - distances), labels, 1)
    return loss + 0.1 * center_decorrelation(centers)


def plain_recall(embeddings: Tensor, labels: Tensor) -> float:
    """Recall@1 and MAP@R with a loop over the queries, all else sorted."""
    unit = torch.nn.functional.normalize(embeddings)
    found = precision = 0.0
    for index in range(len(unit)):
        similar = unit @ unit[index]
        order = similar.argsort(descending=True)
        order = order[order != index]
        hits = (labels[order] == labels[index]).double()
        count = int(hits.sum())
        found += hits[0].item()
        first = hits[:count]
        ranks = torch.arange(1, count + 1)
        precision += (first * first.cumsum(0) / ranks).sum().item() / count
    return found / len(unit) + precision / len(unit)


@dataclass
class RetrievalBenchmark(Benchmark):
    """Loss forward and backward, and the measures, interleaved.

    Args:
        classes (Sequence[int]): Numbers of centers. Defaults to (100,
            11318): CUB, and Stanford Online Products.
        images (Sequence[int]): Sizes of the test set. Defaults to (6000,
            60000).
        channels (int): Of the embedding in the loss. Defaults to 4096.
        dims (int): Of the embedding in the measures. Defaults to 512.
        batch_size (int): Defaults to 84.
        rounds (int): Measurements of a case; of those with more than 1,000
            classes or 10,000 images one, without warm-up. Defaults to 5.
        **timing: See :class:`Benchmark`.

    Raises:
        TypeError, ValueError: If a size is below 2 or not an int.
    """

    rounds: int = 5
    warmup: int = 1
    classes: Sequence[int] = (100, 11318)
    images: Sequence[int] = (6000, 60000)
    channels: int = 4096
    dims: int = 512
    batch_size: int = 84

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('channels', 'dims', 'batch_size'):
            check_int(name, getattr(self, name), 2)
        for name in ('classes', 'images'):
            for count in getattr(self, name):
                check_int(name, count, 2)

    def measure(self) -> dict:
        """``losses`` and ``measures``."""
        return dict(
            losses=[row for n in self.classes for row in self._losses(n)],
            measures=[row for n in self.images for row in self._measures(n)],
        )

    def _losses(self, count: int) -> List[dict]:
        new = dict(device=self.device)
        x = torch.randn(self.batch_size, self.channels, **new)
        weight = torch.randn(count, self.channels, **new)
        labels = torch.randint(count, (self.batch_size,), **new)
        x.requires_grad_()
        weight.requires_grad_()
        cases = {
            name: Case(lambda f=f: f(x, labels, weight).backward())
            for name, f in dict(ours=our_hgsl, loop=plain_hgsl).items()
        }
        proxy = self._proxy_nca(count)
        if proxy is not None:
            cases['ProxyNCA'] = Case(lambda: proxy(x, labels).backward())
        return self._rows('classes', count, cases, few=count > 1000)

    def _proxy_nca(self, count: int) -> Any:
        try:
            from pytorch_metric_learning.losses import ProxyNCALoss
        except ImportError:
            self.log('pytorch-metric-learning is missing: no ProxyNCA')
            return None
        return ProxyNCALoss(count, self.channels).to(self.device)

    def _measures(self, count: int) -> List[dict]:
        rows = torch.randn(count, self.dims, device=self.device)
        labels = torch.arange(count, device=self.device) // 60
        cases = dict(ours=Case(lambda: evaluate_retrieval(rows, labels)))
        few = count > 10000
        if not few:
            cases['loop'] = Case(lambda: plain_recall(rows, labels))
        return self._rows('images', count, cases, few)

    def _rows(
        self, key: str, count: int, cases: dict, few: bool
    ) -> List[dict]:
        once = dict(rounds=1, warmup=0) if few else {}
        times = self.time(f'{count} {key}', cases, **once)
        found = []
        for name, seconds in times.items():
            row = {key: count, 'kind': name, 'ms': spread_ms(seconds)}
            # what a profiler adds would take minutes in the large cases
            memory = None if few else peak_memory(cases[name], self.device)
            found.append(dict(row, memory_mib=memory))
        return found
