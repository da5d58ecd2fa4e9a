# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One line per epoch, for a console that shows nothing else."""

import time
from typing import Dict, List, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.registry import HOOKS

from ..launching.wall_time import format_time


@HOOKS.register_module()
class ProgressHook(Hook):
    """Print one line per epoch: loss, drop ratios, top-1, time left.

    A loop that counts iterations gets one line per validation. The metric is
    ``accuracy/top1`` where there is one, otherwise the first number that the
    validation gave. The time left is estimated from the training of this
    process so far, validations included.

    Examples:
        >>> custom_hooks = [dict(type='mask_plugins.ProgressHook')]
        >>> type(HOOKS.build(custom_hooks[0])).__name__
        'ProgressHook'
    """

    # After LoggerHook and TrainLogHook, whose values it shows.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._pending: Optional[List[str]] = None
        self._values: Dict[str, List[float]] = {}
        self._start, self._done = 0.0, 0

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._start, self._done = time.perf_counter(), runner.iter

    def before_train_epoch(self, runner: Runner) -> None:
        """Print what no validation has printed."""
        self._print(runner)
        self._values = {'loss': [], 'patch_drop_ratio': []}

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Collect the values that a line sums up."""
        scalars = runner.message_hub.log_scalars
        for key, values in self._values.items():
            if f'train/{key}' in scalars:
                values.append(float(scalars[f'train/{key}'].current()))

    def after_train_epoch(self, runner: Runner) -> None:
        """Hold the line back until the validation, if there is one."""
        if not hasattr(runner._train_loop, 'dataloader_iterator'):
            width = len(str(runner.max_epochs))
            epoch = f'{runner.epoch + 1:{width}}/{runner.max_epochs}'
            self._pending = [f'epoch {epoch}', *self._trained()]

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Print the line with the metric."""
        parts, self._pending = self._pending, None
        if parts is None:
            place = f'iteration {runner.iter}/{runner.max_iters}'
            parts = [place, *self._trained()]
        self._pending = [*parts, *_metric(metrics or {})]
        self._print(runner)

    def after_train(self, runner: Runner) -> None:
        """Print the last line."""
        self._print(runner)

    def _trained(self) -> List[str]:
        parts = []
        losses = self._values.get('loss')
        if losses:
            parts.append(f'loss {sum(losses) / len(losses):.3f}')
        ratios = self._values.get('patch_drop_ratio')
        if ratios:
            low, high = min(ratios), max(ratios)
            ends = f'{low:.2f}' if low == high else f'{low:.2f}-{high:.2f}'
            parts.append(f'drop ratio {ends}')
        self._values = {key: [] for key in self._values}
        return parts

    def _print(self, runner: Runner) -> None:
        parts, self._pending = self._pending, None
        if parts is None or not is_main_process():
            return
        seconds = time.perf_counter() - self._start
        done = runner.iter - self._done
        if done > 0 and runner.iter < runner.max_iters:
            left = seconds / done * (runner.max_iters - runner.iter)
            parts.append(f'left {format_time(left)}')
        print('  '.join(parts), flush=True)


def _metric(metrics: Dict[str, float]) -> List[str]:
    for name, value in metrics.items():
        if name.endswith('accuracy/top1'):
            return [f'top-1 {value:.2f} %']
    numbers = [
        f'{name} {value:.4g}'
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return numbers[:1]
