# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Resume a run whose length has changed: positions count in epochs."""

import warnings
from typing import Any, Dict, List, NamedTuple, Optional

from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.runner import BaseLoop, Runner

from mask_plugins.datasets.samplers import (
    TokenBudgetSampler,
    budget_sampler_of,
)


class RunLength(NamedTuple):
    """How long a run is."""

    epochs: int
    iters: int

    @property
    def per_epoch(self) -> int:
        """Iterations of an epoch."""
        return self.iters // self.epochs

    def __str__(self) -> str:
        return f'{self.epochs} epochs of {self.per_epoch} iterations'


def fit_length(runner: Runner, checkpoint: dict) -> str:
    """Move a checkpoint to the present length of the run, in place.

    To be called in ``after_load_checkpoint``. One rule holds for all: the
    position is counted in epochs (in iterations for an iteration loop), and
    the config says how long things are. So after 2 epochs of 8 iterations, a
    run that now has 4 per epoch continues at iteration 8, where schedules of
    ``ScheduleHook`` are functions of the iteration anyway. Schedulers of the
    optimizer, whose old lengths are in the checkpoint, are built from the
    config and stepped to that position. A checkpoint of a run of the same
    length is left as it is.

    Args:
        runner (Runner): A runner that resumes.
        checkpoint (dict): What was loaded.

    Returns:
        str: What was moved, which is also logged as one warning; '' if the
        length is the same or the checkpoint does not say it.
    """
    loop = runner._train_loop
    if not runner._resume or not isinstance(loop, BaseLoop):
        return ''
    now = RunLength(loop.max_epochs, loop.max_iters)
    hub = checkpoint.get('message_hub') or {}
    info = hub.get('runtime_info') or {}
    then = RunLength(info.get('max_epochs', 0), info.get('max_iters', 0))
    meta = checkpoint.get('meta') or {}
    budget = budget_sampler_of(loop.dataloader)
    known = _plausible(then) or (budget is not None and min(then) > 0)
    if then == now or not known or 'iter' not in meta:
        return ''
    moved = [f'the checkpoint is of {then}, the run is now {now}']
    iteration, by_iter = meta['iter'], hasattr(loop, 'dataloader_iterator')
    if budget is not None and not by_iter:
        moved += _move_in_budget(meta, budget)
    elif not by_iter and then.per_epoch != now.per_epoch:
        moved += _move_iteration(meta, then.per_epoch, now.per_epoch)
    states = _by_name(checkpoint.get('param_schedulers'))
    saved = _by_name(checkpoint.get('optimizer'))
    shift, position = meta['iter'] - iteration, None
    if budget is not None:  # its schedulers count full batches
        position = budget.position(meta['iter'])
        full = max(now.epochs * budget.full_batches, position)
        now = RunLength(now.epochs, full)
    for name, parts in _by_name(runner.param_schedulers).items():
        if parts and len(parts) == len(states.get(name) or ()):
            old = saved.get(name) or {}
            moved += _step_schedulers(
                parts, states[name], old, shift, position, now
            )
    # So that a second call, of another hook, finds nothing to do.
    info.update(max_epochs=now.epochs, max_iters=now.iters)
    text = '; '.join(moved)
    runner.logger.warning(
        f'The length of the run has changed: {text}. From here the run '
        'differs from an uninterrupted one.'
    )
    return text


def _plausible(then: RunLength) -> bool:
    return all(type(n) is int and n > 0 for n in then) and (
        then.per_epoch * then.epochs == then.iters
    )


def _move_iteration(meta: dict, then: int, now: int) -> List[str]:
    """Put the iteration of a uniform run on the scale of today."""
    epoch, old = meta['epoch'], meta['iter']
    done = old - epoch * then
    if not 0 <= done < then:
        return []  # epochs of unlike lengths
    skipped = done * now // then
    meta['iter'] = epoch * now + skipped
    if 'epoch_position' in meta:
        meta['epoch_position'] = [skipped, now]
    moved = f'iteration {old} is now iteration {meta["iter"]}'
    if done:
        moved += (
            f'; it was saved after {done} of {then} batches of an epoch that '
            f'now has {now}: {skipped} are skipped'
        )
    return [moved]


def _move_in_budget(meta: dict, budget: TokenBudgetSampler) -> List[str]:
    """The same where epochs have unlike numbers of batches."""
    epoch, old = meta['epoch'], meta['iter']
    done, length = meta.get('epoch_position') or (0, 1)
    first, following = map(budget.first_step, (epoch, epoch + 1))
    skipped = done * (following - first) // length
    meta['iter'] = first + skipped
    if 'epoch_position' in meta:
        meta['epoch_position'] = [skipped, following - first]
    moved = f'iteration {old} is now iteration {meta["iter"]}'
    return [moved] if meta['iter'] != old else []


def _by_name(parts: Any) -> Dict[str, Any]:
    """Of one optimizer (a list, a state) or of several by name."""
    if isinstance(parts, dict) and 'param_groups' not in parts:
        return parts
    return {'': parts} if parts is not None else {}


def _step_schedulers(
    schedulers: list,
    states: list,
    saved: dict,
    shift: int,
    position: Optional[int],
    now: RunLength,
) -> List[str]:
    """Step fresh schedulers, and put their state into the checkpoint."""
    if any(
        isinstance(scheduler, ReduceOnPlateauParamScheduler)
        or type(state.get('_global_step')) is not int
        for scheduler, state in zip(schedulers, states)
    ):
        return ['schedulers of an unknown position continue as they were']
    units = [now.per_epoch if s.by_epoch else 1 for s in schedulers]
    counts = [
        min(state['_global_step'] + shift * (unit == 1), now.iters // unit)
        for state, unit in zip(states, units)
    ]
    if position is not None:
        counts = [
            position if unit == 1 else count
            for count, unit in zip(counts, units)
        ]
    _step(schedulers, units, counts)
    groups = schedulers[0].optimizer.param_groups
    old = list(saved.get('param_groups', ()))
    if 'base_param_settings' in saved:
        old.append(saved['base_param_settings'])
    said = {}
    for scheduler in schedulers:
        name = scheduler.param_name
        was = old[0].get(name, 'unknown') if old else 'unknown'
        said[f'{name} {was} is now {groups[0].get(name)}'] = None
    names = {scheduler.param_name for scheduler in schedulers}
    names |= {f'initial_{name}' for name in names}
    if 'momentum' in names:
        names.add('betas')  # Adam's
    for group, target in zip(groups, old):
        target.update({k: group[k] for k in names if k in group})
    states[:] = [scheduler.state_dict() for scheduler in schedulers]
    return list(said)


def _step(schedulers: list, units: List[int], counts: List[int]) -> None:
    """Interleave the steps as ``ParamSchedulerHook`` does.

    A scheduler steps every ``unit`` iterations, ``count`` times in all.
    """
    order = sorted(zip(units, counts, schedulers), key=lambda x: x[0] > 1)
    with warnings.catch_warnings():
        # "optimizer.step() before scheduler.step()" is of a training loop.
        warnings.simplefilter('ignore')
        for t in range(1, max(u * n for u, n in zip(units, counts)) + 1):
            for unit, count, scheduler in order:
                if t % unit == 0 and t // unit <= count:
                    scheduler.step()
