# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Plain JSON logs: one line per iteration, one per validation."""

import math
import time
from typing import Any, Dict, Optional

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.datasets.samplers import locate_step
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_int

from ..checkpoint.json_lines import JsonLines
from .safe_checkpoint_hook import SafeCheckpointHook
from .validation_loss import ValidationLoss


@HOOKS.register_module()
class TrainLogHook(Hook):
    """Write ``train_log.json`` and ``val_log.json`` into the work_dir.

    JSON lines. A train line, one per iteration, has ``epoch`` and
    ``iteration`` (from 0, over the whole run), every ``train/*`` scalar of
    the message hub that was set in this iteration under its name (``loss``,
    ``lr``, ``patch_drop_ratio``, ...), and

    - ``cpu_time``: seconds of waiting for the batch;
    - ``gpu_time``: seconds of the training step and of the hooks that
      belong to it, such as EMAHook;
    - ``time``: their sum;
    - ``memory``: peak of allocated GPU memory in MB, 0 without CUDA.

    A validation line has ``epoch`` (the one just trained), ``iteration``
    (iterations trained), ``loss``, ``acc1`` and ``acc5`` in % where the
    metrics have them, ``time`` of the whole pass, ``memory``, and every
    metric under its own name. ``loss`` is the mean of -log of the score of
    the true class, over the samples of all ranks, where the model predicts
    single-label ``pred_score``.

    NaN and infinities are written as null. When a run is resumed, lines past
    its checkpoint are cut: the logs of a killed and resumed run are those of
    an uninterrupted one. A new run in a folder with logs puts them aside as
    ``train_log.<when it ended>.json``.

    Args:
        interval (int): Train lines that are held back at most before they
            are written. They are also written before every checkpoint and
            validation. Defaults to 50.

    Raises:
        TypeError: If ``interval`` is not an int.
        ValueError: If ``interval`` is below 1.

    Examples:
        >>> custom_hooks = [dict(type='mask_plugins.TrainLogHook')]
        >>> HOOKS.build(custom_hooks[0]).interval
        50
    """

    # After the hooks that set scalars (ScheduleHook is 55), before
    # LoggerHook (60), whose time is not the training step's.
    priority = 58

    # Longer metrics, such as large confusion matrices, are left out.
    MAX_METRIC_SIZE = 1000

    def __init__(self, interval: int = 50) -> None:
        self.interval = check_int('interval', interval, low=1)
        self._train: Optional[JsonLines] = None
        self._val: Optional[JsonLines] = None
        self._clock: Optional[_EndOfHooks] = None
        self._seen: Dict[str, np.ndarray] = {}
        self._start = self._cpu_time = self._val_start = 0.0
        self._val_loss: Optional[ValidationLoss] = None

    # -------------------------------------------------------- start and end
    def before_run(self, runner: Runner) -> None:
        """Add the clock, at the end of the list that is being walked."""
        if self._clock is None:
            self._clock = _EndOfHooks()
            runner.register_hook(self._clock)

    def before_train(self, runner: Runner) -> None:
        """Cut the logs to where the run is, or put old ones aside."""
        hub = runner.message_hub
        self._seen = {key: b.data[0] for key, b in hub.log_scalars.items()}
        folder = runner.work_dir
        self._train = JsonLines(f'{folder}/train_log.json', self.interval)
        self._val = JsonLines(f'{folder}/val_log.json', 1)
        if not is_main_process():
            return
        if runner.iter == 0:
            for log in (self._train, self._val):
                name = log.put_aside()
                if name:
                    runner.logger.info(f'the log before is now {name}')
            return
        done = runner.iter
        saving = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
        again = any(hook.owes_validation(runner) for hook in saving)
        epoch = self._epoch(runner, done)
        cut = self._train.cut(epoch, done)
        cut += self._val.cut(epoch - again, done + (not again))
        if cut:
            runner.logger.info(f'{cut} lines past iteration {done} were cut')

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock; the first batch is waited for now."""
        self._clock.time = time.perf_counter()

    def after_train_epoch(self, runner: Runner) -> None:
        """Write what is held back."""
        self._flush()

    after_run = after_train_epoch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Have the log on the disk before the checkpoint that continues it."""
        self._flush(sync=True)

    def after_train(self, runner: Runner) -> None:
        """Stop logging: a later validation is not part of the run."""
        self._flush()
        self._val = None

    def _flush(self, sync: bool = False) -> None:
        if self._train is not None and is_main_process():
            self._train.flush(sync)

    # ------------------------------------------------------------- training
    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """The batch is there."""
        self._start = time.perf_counter()
        self._cpu_time = self._start - self._clock.time

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Log the iteration; RuntimeInfoHook has waited for its loss."""
        gpu_time = time.perf_counter() - self._start
        line = dict(epoch=self._epoch(runner, runner.iter))
        line['iteration'] = runner.iter
        for key, buffer in runner.message_hub.log_scalars.items():
            history = buffer.data[0]
            # An update makes a new array; an old value is not this line's.
            if key.startswith('train/') and self._seen.get(key) is not history:
                line[key[len('train/') :]] = float(history[-1])
                self._seen[key] = history
        line.pop('data_time', None)  # of IterTimerHook: cpu_time is ours
        line['time'] = self._cpu_time + gpu_time
        line['cpu_time'], line['gpu_time'] = self._cpu_time, gpu_time
        line['memory'] = _memory()
        if is_main_process():
            self._train.append(**line)

    @staticmethod
    def _epoch(runner: Runner, iteration: int) -> int:
        """The epoch of an iteration; iteration loops do not count them."""
        if hasattr(runner.train_loop, 'dataloader_iterator'):
            return locate_step(runner.train_dataloader, iteration)[0]
        return runner.epoch

    # ----------------------------------------------------------- validation
    def before_val_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self._flush()
        self._val_start = time.perf_counter()
        self._val_loss = None
        if self._val is not None:
            size = len(runner.val_dataloader.dataset)
            self._val_loss = ValidationLoss(size)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Add the loss of the batch, where the predictions tell it."""
        if self._val_loss is not None:
            self._val_loss.add(outputs or ())

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Log the validation."""
        if self._val is None:
            return
        # Collective: all ranks, before one of them writes.
        loss = self._val_loss.mean()
        if not is_main_process():
            return
        line = dict(epoch=runner.epoch - 1, iteration=runner.iter)
        if hasattr(runner.train_loop, 'dataloader_iterator'):
            line['epoch'] = self._epoch(runner, runner.iter - 1)
        if loss is not None:
            line['loss'] = loss
        plain = {k: self._plain(v) for k, v in (metrics or {}).items()}
        plain = {k: v for k, v in plain.items() if v is not None}
        for key, value in plain.items():
            name = key.split('/')[-1]
            if name in ('top1', 'top5'):  # under a short name too
                line.setdefault(f'acc{name[-1]}', value)
        line.update(plain, time=time.perf_counter() - self._val_start)
        line['memory'] = _memory()
        self._val.append(**line)

    def _plain(self, value: Any) -> Any:
        """A metric as JSON has it, None for what has no place in a line."""
        if hasattr(value, 'tolist'):  # of torch or numpy
            short = math.prod(value.shape) <= self.MAX_METRIC_SIZE
            return value.tolist() if short else None
        return value if isinstance(value, (int, float, str)) else None


class _EndOfHooks(Hook):
    """Note when the last hook of an iteration is done."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.time = time.perf_counter()

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """From here on the next batch is waited for."""
        self.time = time.perf_counter()

    # A validation inside an iteration loop is not waiting either.
    after_val = after_train_iter


def _memory() -> int:
    return torch.cuda.max_memory_allocated() // 2**20  # 0 without CUDA
