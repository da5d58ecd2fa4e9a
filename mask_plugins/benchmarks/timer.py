# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Interleaved timing that reports its progress."""

from typing import Callable, Dict, Hashable, List

import torch

from mask_plugins.utils.timing import Case, time_interleaved


class Timer:
    """Time cases in turn, with the same settings each time.

    Args:
        log (Callable): Where progress goes. Defaults to ``print``.
        rounds, iters, warmup, seed, clock, device: See
            :func:`time_interleaved`.

    Raises:
        ValueError: If ``clock`` is ``'cpu'`` and ``device`` is not.

    Examples:
        >>> timer = Timer(log=lambda line: None, rounds=3)
        >>> len(timer('sums', dict(a=Case(lambda: sum(range(9)))))['a'])
        3
    """

    def __init__(
        self,
        log: Callable[[str], None] = print,
        rounds: int = 10,
        iters: int = 1,
        warmup: int = 2,
        seed: int = 0,
        clock: str = 'wall',
        device: str = 'cpu',
    ) -> None:
        if clock == 'cpu' and torch.device(device).type != 'cpu':
            raise ValueError(
                f"clock='cpu' says nothing about device={device!r}"
            )
        self.log = log
        self.options = dict(
            rounds=rounds, iters=iters, warmup=warmup, seed=seed,
            clock=clock, device=device,
        )  # fmt: skip

    def __call__(
        self, what: str, cases: Dict[Hashable, Case], more: int = 1
    ) -> Dict[Hashable, List[float]]:
        """Seconds per step and round, by case.

        Args:
            what (str): What is timed, for the log.
            cases (dict): By name.
            more (int): Times as many rounds. Defaults to 1.
        """
        self.log(f'{what}: {len(cases)} cases, interleaved')

        def progress(done: int, total: int) -> None:
            if done % more == 0 or done == total:
                self.log(f'{what}: round {done}/{total}')

        options = dict(self.options, rounds=more * self.options['rounds'])
        return time_interleaved(cases, progress=progress, **options)
