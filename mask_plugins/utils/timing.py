# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Times of several things that are to be compared."""

import random
import time
import warnings
from typing import (
    Any,
    Callable,
    Dict,
    Hashable,
    List,
    NamedTuple,
    Tuple,
    Union,
)

import numpy as np
import torch

from .checks import check_choice, check_int
from .compat_torch import event_start

CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)


class Case(NamedTuple):
    """Something to time.

    Args:
        step (Callable): What is timed.
        prepare (Callable): Called before, untimed. Defaults to nothing.

    Examples:
        >>> Case(step=lambda: sum(range(1000))).step()
        499500
    """

    step: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


def time_interleaved(
    cases: Dict[Hashable, Case],
    rounds: int,
    iters: int = 1,
    warmup: int = 1,
    seed: int = 0,
    device: str = 'cpu',
    clock: str = 'wall',
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dict[Hashable, np.ndarray]:
    """Time all cases in turn, round after round.

    A machine that slows down, or is shared for a while, then slows all cases
    alike, which blocks of one case after the other would turn into a
    difference. Each round has its own random order, so that no case always
    follows the same one.

    Args:
        cases (dict): What is timed, by name.
        rounds (int): Measurements of each case.
        iters (int): Steps per measurement. Defaults to 1.
        warmup (int): Rounds before, untimed. Defaults to 1.
        seed (int): Seed of the orders. Defaults to 0.
        device (str): Device whose queue is waited for. Defaults to 'cpu'.
        clock (str): ``'wall'``, or ``'cpu'``, the time that this process
            had the CPU: on a machine that others use, with one thread
            (several spin while they wait, which counts). Defaults to 'wall'.
        progress (Callable): Called with the rounds done, warm-up included,
            and their total.

    Returns:
        dict: Seconds per step, one entry per round, by name; entry i of all
        cases is of the same round.

    Raises:
        ValueError: If `rounds` or `iters` is below 1, `warmup` below 0, or
            `clock` unknown.

    Examples:
        >>> cases = dict(short=Case(lambda: sum(range(10))))
        >>> len(time_interleaved(cases, rounds=3)['short'])
        3
    """
    check_int('rounds', rounds, 1)
    check_int('iters', iters, 1)
    check_int('warmup', warmup, 0)
    check_choice('clock', clock, tuple(CLOCKS))
    now = CLOCKS[clock]
    order = random.Random(seed)
    times: Dict[Hashable, List[float]] = {name: [] for name in cases}
    for number in range(warmup + rounds):
        for name in order.sample(list(cases), len(cases)):
            case = cases[name]
            case.prepare()
            synchronize(device)
            start = now()
            for _ in range(iters):
                case.step()
            synchronize(device)
            if number >= warmup:
                times[name].append((now() - start) / iters)
        progress(number + 1, warmup + rounds)
    return {name: np.array(values) for name, values in times.items()}


def timed(
    step: Callable[[torch.Tensor], Any], x: torch.Tensor, clock: str = 'wall'
) -> Tuple[float, Any]:
    """Seconds and result of a call, waiting for a GPU.

    Examples:
        >>> seconds, result = timed(torch.neg, torch.ones(1))
        >>> result
        tensor([-1.])
    """
    now = CLOCKS[clock]
    synchronize(x.device)
    begin = now()
    result = step(x)
    synchronize(x.device)
    return now() - begin, result


def synchronize(device: Union[str, torch.device]) -> None:
    """Wait until a GPU has done what it was given; a CPU always has.

    Examples:
        >>> synchronize('cpu')
    """
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def peak_memory(case: Case, device: str = 'cpu') -> float:
    """Memory that one step takes at its peak, beyond what it finds taken.

    On a GPU it is read from CUDA's allocator. On a CPU it is the peak of the
    running sum over the allocations that ``torch.profiler`` records, hence
    without what libraries allocate by themselves.

    Args:
        case (Case): What is measured.
        device (str): Defaults to 'cpu'.

    Returns:
        float: MiB.

    Examples:
        >>> peak_memory(Case(lambda: torch.zeros(2**18))) >= 1
        True
    """
    case.prepare()
    if torch.device(device).type == 'cuda':
        synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        case.step()
        synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) - before
        return peak / 2**20
    activities = [torch.profiler.ProfilerActivity.CPU]
    with warnings.catch_warnings():
        # that events are cleared at the end, which is here
        warnings.simplefilter('ignore')
        with torch.profiler.profile(
            activities=activities, profile_memory=True
        ) as profiler:
            case.step()
    events = profiler.profiler.kineto_results.events()
    events = [event for event in events if event.name() == '[memory]']
    running = peak = 0
    for event in sorted(events, key=event_start):
        running += event.nbytes()
        peak = max(peak, running)
    return peak / 2**20
