# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What all benchmarks of training steps have in common."""

from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, Hashable, Iterator

import numpy as np
import torch

from mask_plugins.utils.timing import Case, time_interleaved

from .statistics import machine


@dataclass
class Benchmark:
    """Settings, interleaved timing that reports its progress, results.

    A subclass adds settings, :meth:`measure` and :meth:`targets`.

    Args:
        rounds, iters, warmup, seed, clock, device: See
            :func:`time_interleaved`.
        log (Callable): Where progress goes. Defaults to ``print``.

    Raises:
        ValueError: If ``clock`` is ``'cpu'`` and ``device`` is not.

    Examples:
        >>> benchmark = Benchmark(log=lambda line: None, rounds=3)
        >>> times = benchmark.time('sums', dict(a=Case(lambda: sum([1, 2]))))
        >>> len(times['a'])
        3
    """

    rounds: int = 10
    iters: int = 1
    warmup: int = 2
    seed: int = 0
    clock: str = 'wall'
    device: str = 'cpu'
    log: Callable[[str], None] = print

    def __post_init__(self) -> None:
        if self.clock == 'cpu' and torch.device(self.device).type != 'cpu':
            raise ValueError(
                f"clock='cpu' says nothing about device={self.device!r}"
            )

    def settings(self) -> dict:
        """What was asked for."""
        return self._values(self)

    def _values(self, kind) -> dict:
        names = [field.name for field in fields(kind) if field.name != 'log']
        return {name: getattr(self, name) for name in names}

    def run(self) -> dict:
        """Measure.

        Returns:
            dict: Plain data: ``settings``, ``machine``, what
            :meth:`measure` found, and ``targets``.
        """
        torch.manual_seed(self.seed)
        result = dict(settings=self.settings(), machine=machine(self.device))
        result.update(self.measure())
        result['targets'] = list(self.targets(result))
        return result

    def measure(self) -> Dict[str, Any]:
        """The parts of the result."""
        raise NotImplementedError

    def targets(self, result: dict) -> Iterator[dict]:
        """What :func:`target` says of a result; nothing by default."""
        yield from ()

    def time(
        self, what: str, cases: Dict[Hashable, Case], more: int = 1, **options
    ) -> Dict[Hashable, np.ndarray]:
        """Seconds per step and round, by case.

        Args:
            what (str): What is timed, for the log.
            cases (dict): By name.
            more (int): Times as many rounds. Defaults to 1.
            **options: In place of this benchmark's.
        """
        self.log(f'{what}: {len(cases)} cases, interleaved')

        def progress(done: int, total: int) -> None:
            if done % more == 0 or done == total:
                self.log(f'{what}: round {done}/{total}')

        timing = self._values(Benchmark)
        timing['rounds'] *= more
        timing.update(options)
        return time_interleaved(cases, progress=progress, **timing)
