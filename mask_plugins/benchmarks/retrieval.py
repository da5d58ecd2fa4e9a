# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What HGSL and the measures of retrieval cost."""

from typing import Any, Callable, Dict, List, Sequence

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
from mask_plugins.utils.timing import Case, peak_memory, time_interleaved

from .statistics import machine, spread_ms


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


class RetrievalBenchmark:
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
        device (str): Defaults to 'cpu'.
        clock (str): See :func:`time_interleaved`. Defaults to 'wall'.
        log (Callable): Where progress goes. Defaults to ``print``.

    Raises:
        TypeError, ValueError: If a size is below 2 or not an int.
    """

    def __init__(
        self,
        classes: Sequence[int] = (100, 11318),
        images: Sequence[int] = (6000, 60000),
        channels: int = 4096,
        dims: int = 512,
        batch_size: int = 84,
        rounds: int = 5,
        device: str = 'cpu',
        clock: str = 'wall',
        log: Callable[[str], None] = print,
    ) -> None:
        self.classes = tuple(check_int('classes', n, 2) for n in classes)
        self.images = tuple(check_int('images', n, 2) for n in images)
        self.channels = check_int('channels', channels, 2)
        self.dims = check_int('dims', dims, 2)
        self.batch_size = check_int('batch_size', batch_size, 2)
        self.rounds = rounds
        self.device = device
        self.clock = clock
        self.log = log

    def run(self) -> Dict[str, Any]:
        """Measure; plain data: ``machine``, ``losses``, ``measures``."""
        result: Dict[str, Any] = dict(
            machine=machine(self.device),
            settings=dict(
                channels=self.channels,
                dims=self.dims,
                batch_size=self.batch_size,
                rounds=self.rounds,
                clock=self.clock,
            ),
            losses=[],
            measures=[],
        )
        for count in self.classes:
            result['losses'] += self._losses(count)
        for count in self.images:
            result['measures'] += self._measures(count)
        return result

    def _losses(self, count: int) -> List[dict]:
        torch.manual_seed(0)
        new = dict(device=self.device)
        x = torch.randn(self.batch_size, self.channels, **new)
        weight = torch.randn(count, self.channels, **new)
        labels = torch.randint(count, (self.batch_size,), **new)
        x.requires_grad_()
        weight.requires_grad_()
        losses = dict(ours=our_hgsl, loop=plain_hgsl)
        cases = {
            name: Case(lambda f=f: f(x, labels, weight).backward())
            for name, f in losses.items()
        }
        proxy = self._proxy_nca(count)
        if proxy is not None:
            cases['ProxyNCA'] = Case(lambda: proxy(x, labels).backward())
        few = count > 1000
        return self._time(f'{count} classes', cases, few, classes=count)

    def _proxy_nca(self, count: int) -> Any:
        try:
            from pytorch_metric_learning.losses import ProxyNCALoss
        except ImportError:
            self.log('pytorch-metric-learning is missing: no ProxyNCA')
            return None
        return ProxyNCALoss(count, self.channels).to(self.device)

    def _measures(self, count: int) -> List[dict]:
        torch.manual_seed(0)
        rows = torch.randn(count, self.dims, device=self.device)
        labels = torch.arange(count, device=self.device) // 60
        cases = dict(ours=Case(lambda: evaluate_retrieval(rows, labels)))
        few = count > 10000
        if not few:
            cases['loop'] = Case(lambda: plain_recall(rows, labels))
        return self._time(f'{count} images', cases, few, images=count)

    def _time(self, what: str, cases: dict, few: bool, **key) -> List[dict]:
        self.log(f'{what}: {", ".join(cases)}')
        times = time_interleaved(
            cases,
            rounds=1 if few else self.rounds,
            warmup=0 if few else 1,
            device=self.device,
            clock=self.clock,
        )
        # what a profiler adds would take minutes in the large cases
        return [
            dict(
                key,
                kind=name,
                ms=spread_ms(seconds),
                memory_mib=None
                if few
                else peak_memory(cases[name], self.device),
            )
            for name, seconds in times.items()
        ]
