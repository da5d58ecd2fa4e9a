# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the schedules of a config will do over its training."""

import math
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from mask_plugins.apis.model import config_scope
from mask_plugins.core import schedules
from mask_plugins.core.schedules import ConstantSchedule, Schedule
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_choice, check_ratio

from .token_cost import Tokens

# A longer run is sampled; a value takes 2 us.
MOST_VALUES = 500_000
# More levels are a slope, of which a table says nothing.
MOST_LEVELS = 20
RATIO = 'drop_ratio'


class Scheduled(NamedTuple):
    """A schedule and what it is applied to."""

    name: str
    attribute: str
    schedule: Schedule
    by_epoch: bool = False
    every: int = 1  # iterations per optimizer step


def read_schedules(cfg: Config, name: str) -> List[Scheduled]:
    """The schedules of a config's hooks.

    Args:
        cfg (Config): Its ``custom_hooks`` are searched for ``ScheduleHook``
            and its subclasses. Without one for the drop ratio, the ratio of
            the backbone is taken, which then stays.
        name (str): Name of the config.

    Raises:
        ValueError: If a hook or its schedule cannot be built.
    """
    kind = HOOKS.get('mask_plugins.ScheduleHook')
    found = []
    with config_scope(cfg):
        for settings in cfg.get('custom_hooks') or ():
            hook_class = settings['type']
            if isinstance(hook_class, str):
                hook_class = HOOKS.get(hook_class)
            if hook_class is None or not issubclass(hook_class, kind):
                continue
            hook = HOOKS.build(settings)
            every = 1
            if hook.unit == 'update':
                wrapper = cfg.get('optim_wrapper') or {}
                every = wrapper.get('accumulative_counts', 1)
            what = hook.target.rpartition('.')[2]
            found.append(
                Scheduled(name, what, hook.schedule, hook.by_epoch, every)
            )
    if not any(scheduled.attribute == RATIO for scheduled in found):
        backbone = cfg.get('model', {}).get('backbone', {})
        ratio = float(backbone.get(RATIO, 0.0))
        found.insert(0, Scheduled(name, RATIO, ConstantSchedule(ratio)))
    return found


def build_schedule(settings: Dict[str, Any]) -> Scheduled:
    """A drop-ratio schedule from settings such as a config has.

    Args:
        settings (dict): ``type``, with or without our prefix, and its
            arguments.

    Raises:
        ValueError: If it is not known, or its arguments are wrong.

    Examples:
        >>> settings = dict(type='LinearSchedule', start=0.8, end=0.0)
        >>> build_schedule(settings).name
        'Linear start=0.8 end=0.0'
    """
    settings = dict(settings)
    kind = str(settings.pop('type', '')).rpartition('.')[2]
    known = [name for name in schedules.__all__ if name[-8:] == 'Schedule']
    check_choice('type of a schedule', kind, sorted({*known} - {'Schedule'}))
    text = ' '.join(f'{key}={value}' for key, value in settings.items())
    try:
        schedule = getattr(schedules, kind)(**settings)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return Scheduled(f'{kind.replace("Schedule", "")} {text}', RATIO, schedule)


def run_lengths(
    cfg: Config, iters_per_epoch: Optional[int] = None, processes: int = 1
) -> Tuple[int, int]:
    """Iterations of a config's training, in all and per epoch.

    Args:
        cfg (Config): The config.
        iters_per_epoch (int, optional): Saves building the training set,
            which needs its files. Defaults to None.
        processes (int): Processes that share an epoch. Defaults to 1.

    Raises:
        ValueError: If the config has no length, or its training set cannot
            be built.
    """
    train = cfg.get('train_cfg') or {}
    if iters_per_epoch is None:
        # Nothing is loaded: no workers are needed, and none must persist.
        workers = dict(num_workers=0, persistent_workers=False)
        try:
            with config_scope(cfg):
                settings = {**cfg.train_dataloader, **workers}
                length = len(Runner.build_dataloader(settings, seed=0))
        except Exception as error:  # whatever a dataset without files raises
            raise ValueError(
                'the training set of the config cannot be built, so the '
                'length of an epoch is not known; give --iters-per-epoch. '
                f'({type(error).__name__}: {error})'
            ) from error
        iters_per_epoch = math.ceil(length / processes)
    if train.get('max_epochs') is not None:
        return train['max_epochs'] * iters_per_epoch, iters_per_epoch
    if train.get('max_iters') is not None:
        return train['max_iters'], iters_per_epoch
    raise ValueError('the config has no train_cfg with max_epochs')


def plan(
    scheduled: Scheduled,
    max_iters: int,
    iters_per_epoch: int,
    tokens: Optional[Tokens] = None,
) -> Dict[str, Any]:
    """Evaluate a schedule over a run.

    Args:
        scheduled (Scheduled): The schedule.
        max_iters (int): Iterations of the run.
        iters_per_epoch (int): Iterations of an epoch.
        tokens (Tokens, optional): For token counts and costs.

    Returns:
        dict: ``summary``, plain data: ``name``, ``attribute``, ``max_iters``,
        ``iters_per_epoch``, ``mean``, ``levels`` (each with ``value``,
        ``share`` of the iterations and, for a drop ratio, ``tokens`` and
        ``mac_share``; None if it is a slope) and ``mac_share`` of the run;
        and ``curve``, what ``draw_schedules`` takes.

    Examples:
        >>> settings = dict(type='LinearSchedule', start=0.8, end=0.0)
        >>> summary = plan(build_schedule(settings), 100, 10)['summary']
        >>> round(summary['mean'], 3)
        0.404
    """
    unit = iters_per_epoch if scheduled.by_epoch else 1
    schedule = scheduled.schedule.resolve(
        math.ceil(max_iters / unit), iters_per_epoch // unit
    )
    # An odd stride does not lock onto the period of a cycle.
    stride = 1 if max_iters <= MOST_VALUES else max_iters // MOST_VALUES | 1
    iterations = np.arange(0, max_iters, stride)
    # As ScheduleHook.value has it.
    steps = (iterations - iterations % scheduled.every) // unit
    value = np.array([schedule.value(t) for t in steps.tolist()])
    ratio = scheduled.attribute == RATIO
    for end in (value.min(), value.max()) if ratio else ():
        check_ratio(f'{scheduled.name}: the drop ratio', end, '[)')
    counts = Counter(value.tolist())
    levels: Optional[List[dict]] = None
    if len(counts) <= MOST_LEVELS:
        levels = [
            dict(value=level, share=counts[level] / len(value))
            for level in sorted(counts, reverse=True)
        ]
    summary = dict(
        name=scheduled.name,
        attribute=scheduled.attribute,
        max_iters=max_iters,
        iters_per_epoch=iters_per_epoch,
        mean=float(value.mean()),
        levels=levels,
    )
    if ratio and tokens is not None:
        for level in levels or ():
            level['tokens'] = tokens.kept(level['value'])
            level['mac_share'] = tokens.mac_share(level['value'])
        shares = (tokens.mac_share(v) * n for v, n in counts.items())
        summary['mac_share'] = sum(shares) / len(value)
    period = getattr(schedule, 'period', schedule.total)
    cyclic = schedule.start != schedule.end and period < schedule.total
    curve = dict(
        name=scheduled.name,
        epoch=np.append(iterations, max_iters) / iters_per_epoch,
        value=np.append(value, value[-1]),
        cycle=period * unit / iters_per_epoch if cyclic else None,
    )
    return dict(summary=summary, curve=curve)
