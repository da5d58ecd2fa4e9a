# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Thresholds per layer, from trials of the whole network."""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from mask_plugins.utils.checks import check_number, check_ratio

Thresholds = Dict[str, Optional[float]]


class Trial(NamedTuple):
    """Cost and error of a setting of the thresholds.

    Args:
        thresholds (dict): By layer; None: the layer is dense.
        error (float): Mean relative L2 error of the last feature.
        cost (float): Seconds per frame.
        skip_ratios (dict): Share of the patches skipped, by layer.
    """

    thresholds: Thresholds
    error: float
    cost: float
    skip_ratios: Dict[str, float]


Evaluate = Callable[[Thresholds], Trial]


def greedy_path(
    evaluate: Evaluate,
    layers: Sequence[str],
    grid: Sequence[float],
    max_error: float,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> List[Trial]:
    """Raise one threshold at a time where it buys most.

    Each step raises the threshold of one layer to its next value on the grid:
    of that layer which saves the most time per squared error that it adds,
    among those that keep to the limit. Errors of layers are near to
    independent, so squares add up. Trials are of the whole network, hence
    what a layer's truncation saves those behind it counts. A layer's gain is
    tried again only when it comes out on top of the others' last known gains
    (lazy greedy), which takes two to three trials a step instead of one per
    layer. A layer so active that its dense form is still faster gains nothing
    by one step, so steps of 2, 4, ... values are tried until one does.

    Args:
        evaluate (Callable): Thresholds to :class:`Trial`.
        layers (Sequence[str]): Names of the layers.
        grid (Sequence[float]): Rising thresholds to choose from.
        max_error (float): What no trial but the first may exceed.
        on_trial (Callable): Called with each trial. Defaults to nothing.

    Returns:
        list[Trial]: From the lowest threshold everywhere, each with one
        threshold raised.

    Raises:
        ValueError: If there is no layer, the grid does not rise, or
            ``max_error`` is not positive.
    """
    if not layers:
        raise ValueError('layers must name at least one layer, got none')
    if not grid or any(b <= a for a, b in zip(grid, grid[1:])):
        raise ValueError(f'grid must rise, got {list(grid)}')
    check_number('max_error', max_error, 0, ends='(]')

    def measure(levels: Dict[str, int]) -> Trial:
        trial = evaluate({name: grid[at] for name, at in levels.items()})
        on_trial(trial)
        return trial

    levels, highest = dict.fromkeys(layers, 0), len(grid) - 1
    path = [measure(levels)]
    # Unknown is best, so that each layer is tried once at the beginning.
    gains = dict.fromkeys(layers, float('inf'))
    fresh: Dict[str, Trial] = {}  # tried from where the path is now
    closed = set()  # one step further is too far
    while path[-1].error <= max_error:
        free = [k for k in layers if k not in closed and levels[k] < highest]
        best = max(free, key=lambda name: gains[name], default=None)
        if best in fresh and gains[best] > 0:
            path.append(fresh[best])
            levels[best] = grid.index(fresh[best].thresholds[best])
            fresh = {}
            continue
        if best is None or best in fresh:  # no layer saves time
            break
        step, level = 1, levels[best]
        while level < highest:
            level = min(levels[best] + step, highest)
            fresh[best] = measure({**levels, best: level})
            gains[best] = _gain(path[-1], fresh[best])
            if fresh[best].error > max_error:
                closed.add(best)
            if best in closed or gains[best] > 0:
                break
            step *= 2
    return path


def within(path: Sequence[Trial], max_error: float) -> Trial:
    """The cheapest trial of a path whose error keeps to a limit.

    Args:
        path (Sequence[Trial]): Of :func:`greedy_path`.
        max_error (float): The limit.

    Raises:
        ValueError: If there is none.
    """
    kept = [trial for trial in path if trial.error <= max_error]
    if not kept:
        least = min(trial.error for trial in path)
        raise ValueError(
            f'no thresholds keep the error within {max_error}: {least:.3g}'
        )
    return min(kept, key=lambda trial: trial.cost)


def last_within(
    path: Sequence[Trial], evaluate: Evaluate, max_error: float
) -> Trial:
    """The furthest trial of a path that keeps to a limit on other frames.

    Errors rise along a path, so bisection finds it: a path that was searched
    on few frames is judged on many with a handful of trials.

    Args:
        path (Sequence[Trial]): Of :func:`greedy_path`.
        evaluate (Callable): On the other frames.
        max_error (float): The limit there.

    Returns:
        Trial: As measured on the other frames.

    Raises:
        ValueError: If not even the first keeps to it.
    """
    within([evaluate(path[0].thresholds)], max_error)  # or it raises
    beyond = _first(
        range(1, len(path)),
        lambda at: evaluate(path[at].thresholds).error > max_error,
    )
    return evaluate(path[beyond - 1].thresholds)


def drop_gates(evaluate: Evaluate, trial: Trial) -> Trial:
    """Leave those layers dense whose gates do not pay.

    Args:
        evaluate (Callable): Thresholds to :class:`Trial`.
        trial (Trial): Where to start.

    Returns:
        Trial: With no higher cost or error than ``trial``.
    """
    for name in reversed(list(trial.thresholds)):  # the last skip least
        other = evaluate({**trial.thresholds, name: None})
        if other.cost <= trial.cost and other.error <= trial.error:
            trial = other
    return trial


def match_skip_ratio(
    evaluate: Evaluate,
    layers: Sequence[str],
    grid: Sequence[float],
    skip_ratio: float,
) -> Trial:
    """The lowest thresholds on a grid at which each layer skips enough.

    Layers are set from the first to the last, as what one skips changes what
    those behind it see; each by bisection.

    Args:
        evaluate (Callable): Thresholds to :class:`Trial`.
        layers (Sequence[str]): Names, in the order of the network.
        grid (Sequence[float]): Rising thresholds to choose from.
        skip_ratio (float): Share of the patches, in (0, 1). Layers that do
            not reach it get the highest threshold.

    Raises:
        ValueError: If the ratio is out of its range.
    """
    check_ratio('skip_ratio', skip_ratio, '()')
    thresholds: Thresholds = dict.fromkeys(layers, grid[0])
    for name in layers:
        at = _first(
            range(len(grid) - 1),
            lambda at, name=name: (
                skip_ratio
                <= evaluate({**thresholds, name: grid[at]}).skip_ratios[name]
            ),
        )
        thresholds[name] = grid[at]
    return evaluate(thresholds)


def _first(numbers: range, holds: Callable[[int], bool]) -> int:
    """The first number from which on it holds, or their end: bisection."""
    low, high = numbers.start, numbers.stop
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _gain(before: Trial, after: Trial) -> float:
    """Seconds saved per squared error added."""
    saved = before.cost - after.cost
    added = after.error**2 - before.error**2
    if saved <= 0:
        return saved  # nothing bought: below any that does
    return saved / added if added > 0 else float('inf')
