# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How does the cost grow with the work?"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from mask_plugins.engine.checkpoint.json_lines import JsonLines
from mask_plugins.functional.neighbors import top_k_neighbors
from mask_plugins.functional.retrieval import evaluate_retrieval
from mask_plugins.utils.checks import check_choice, check_int
from mask_plugins.utils.files import to_json
from mask_plugins.utils.timing import Case

from .benchmark import Benchmark
from .statistics import spread, spread_ms, target

OURS, BASELINE = 'ours', 'baseline'


def train_lines(count: int, per_epoch: int = 100) -> Iterator[str]:
    """Lines as ``TrainLogHook`` writes them.

    Args:
        count (int): How many.
        per_epoch (int): Iterations of an epoch. Defaults to 100.

    Examples:
        >>> next(train_lines(1))[:28]
        '{"epoch": 0, "iteration": 0,'
    """
    names = ('lr', 'loss', 'loss_mask', 'grad_norm', 'temperature')
    values = dict.fromkeys((*names, 'time', 'cpu_time', 'gpu_time'), 0.123456)
    for index in range(count):
        place = dict(epoch=index // per_epoch, iteration=index)
        yield to_json(dict(place, **values, memory=0)) + '\n'


@dataclass
class ScalingBenchmark(Benchmark):
    """Time of several parts at several sizes, next to what they cannot avoid.

    Args:
        parts (Sequence[str]): Of ``PARTS``: ``knn`` (1,024 queries in a bank
            of n rows, next to a product and top-k), ``retrieval`` (n images,
            next to pytorch-metric-learning's ``AccuracyCalculator``), ``cut``
            (a log of n lines, next to parsing them). None is all.
        sizes (Sequence[int]): The n. Defaults to (1000, 3000, 10000).
        most (int): The largest n of a part whose cost is quadratic. Defaults
            to 30000.
        dims (int): Of a row. Defaults to 128.
        k (int): Neighbors. Defaults to 20.
        **timing: See :class:`Benchmark`.

    Raises:
        TypeError, ValueError: If a part is unknown or a size below 64.

    Examples:
        >>> quiet = dict(rounds=1, warmup=0, log=lambda line: None)
        >>> made = ScalingBenchmark(parts=['cut'], sizes=[100, 200], **quiet)
        >>> [row['n'] for row in made.run()['costs']]
        [100, 100, 200, 200]
    """

    rounds: int = 5
    warmup: int = 1
    parts: Sequence[str] = ()
    sizes: Sequence[int] = (1000, 3000, 10000)
    most: int = 30000
    dims: int = 128
    k: int = 20

    PARTS: ClassVar[Dict[str, str]] = dict(
        knn='knn_cases', retrieval='retrieval_cases', cut='cut_cases'
    )
    QUADRATIC: ClassVar[Sequence[str]] = ('retrieval',)
    # Part -> largest ratio to the baseline.
    RATIOS: ClassVar[Dict[str, float]] = dict(knn=1.3, retrieval=1.0)
    # Part -> n, and seconds that it may take.
    SECONDS: ClassVar[Dict[str, Any]] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parts = tuple(self.parts or self.PARTS)
        for part in self.parts:
            check_choice('parts', part, tuple(self.PARTS))
        for name in ('dims', 'k', 'most'):
            check_int(name, getattr(self, name), 1)
        for size in self.sizes:
            check_int('sizes', size, 64)

    def measure(self) -> dict:
        """``costs`` of every part and size, ``slopes`` of every part."""
        costs = [row for part in self.parts for row in self._costs(part)]
        return dict(costs=costs, slopes=list(self._slopes(costs)))

    def _costs(self, part: str) -> Iterator[dict]:
        for size in self.sizes:
            if part in self.QUADRATIC and size > self.most:
                self.log(f'{part}: {size} is left out, see --most')
                continue
            with tempfile.TemporaryDirectory() as folder:
                make: Callable = getattr(self, self.PARTS[part])
                times = self.time(f'{part}, {size}', make(size, Path(folder)))
            for kind, seconds in times.items():
                ratio = spread(seconds / times[BASELINE])
                row = dict(part=part, n=size, kind=kind, ratio=ratio)
                yield dict(row, ms=spread_ms(seconds))

    def _slopes(self, costs: List[dict]) -> Iterator[dict]:
        """The exponent of n that fits best, of each part and kind."""
        for part in self.parts:
            for kind in (OURS, BASELINE):
                rows = [
                    r for r in costs if (r['part'], r['kind']) == (part, kind)
                ]
                if len(rows) > 1:
                    log_n = np.log([row['n'] for row in rows])
                    log_ms = np.log([row['ms']['median'] for row in rows])
                    slope = float(np.polyfit(log_n, log_ms, 1)[0])
                    yield dict(part=part, kind=kind, slope=slope)

    def targets(self, result: dict) -> Iterator[dict]:
        """Ratios at the largest n, and seconds at the n of the target."""
        ours = [row for row in result['costs'] if row['kind'] == OURS]
        for part in self.parts:
            rows = [row for row in ours if row['part'] == part]
            if rows and part in self.RATIOS:
                last = rows[-1]
                name = f'{part} to baseline at {last["n"]}'
                ratio = last['ratio']['median']
                yield target(name, ratio, self.RATIOS[part])
            size, limit = self.SECONDS.get(part, (None, None))
            for row in rows:
                if row['n'] == size:
                    seconds = row['ms']['median'] / 1000
                    yield target(f'{part} of {size} [s]', seconds, limit)

    # ---------------------------------------------------------------- cases
    def knn_cases(self, size: int, folder: Path) -> Dict[str, Case]:
        """Neighbors of 1,024 rows."""
        bank = torch.randn(size, self.dims, device=self.device)
        query, k = bank[:1024], min(self.k, size - 1)

        def plain() -> None:
            unit = F.normalize(query) @ F.normalize(bank).T
            unit.topk(k)

        ours = lambda: top_k_neighbors(query, bank, k)  # noqa: E731
        return {OURS: Case(ours), BASELINE: Case(plain)}

    def retrieval_cases(self, size: int, folder: Path) -> Dict[str, Case]:
        """Recall@1, R-precision and MAP@R of classes of 32 images."""
        from pytorch_metric_learning.distances import CosineSimilarity
        from pytorch_metric_learning.utils.accuracy_calculator import (
            AccuracyCalculator,
        )
        from pytorch_metric_learning.utils.inference import CustomKNN

        rows = torch.randn(size, self.dims, device=self.device)
        labels = torch.arange(size, device=self.device) // 32
        include = (
            'precision_at_1',
            'r_precision',
            'mean_average_precision_at_r',
        )
        search = CustomKNN(CosineSimilarity(), batch_size=1024)
        theirs = AccuracyCalculator(
            include, k='max_bin_count', knn_func=search
        )
        return {
            OURS: Case(lambda: evaluate_retrieval(rows, labels, ks=(1,))),
            BASELINE: Case(lambda: theirs.get_accuracy(rows, labels)),
        }

    def cut_cases(self, size: int, folder: Path) -> Dict[str, Case]:
        """The last tenth of a log is cut."""
        whole, log = folder / 'whole.json', folder / 'train_log.json'
        with open(whole, 'w') as file:
            file.writelines(train_lines(size))
        lines = JsonLines(log, interval=1)
        keep = size - size // 10

        def parse() -> None:
            with open(whole, 'rb') as file:
                for line in file:
                    json.loads(line)

        return {
            OURS: Case(
                lambda: lines.cut(0, keep),
                prepare=lambda: shutil.copy(whole, log),
            ),
            BASELINE: Case(parse),
        }
