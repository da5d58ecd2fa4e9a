# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Stop where the cluster says so, and lose nothing."""

import signal
import threading
import time
from typing import Any, Dict, Optional, Sequence, Union

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import tensor

from mask_plugins.engine.loops import ResumableEpochBasedTrainLoop
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_int

from ..checkpoint import run_state
from ..launching.wall_time import format_time, parse_time
from ..launching.worker_signals import shield_workers
from .safe_checkpoint_hook import SafeCheckpointHook
from .seed_hook import SeedHook

# What the ranks agree on: 0, the number of a signal, or this.
_OUT_OF_TIME = 1000


class Preempted(SystemExit):
    """Training was stopped and can be resumed.

    Being a ``SystemExit``, it ends the process with its code where nobody
    catches it.
    """


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On a signal or out of time: finish the iteration, save, exit with 75.

    A run that gets SIGTERM, SIGUSR1 or SIGINT (Ctrl-C) finishes its iteration
    (with gradient accumulation, its update), saves a full checkpoint, marks
    the run as resumable in ``run_state.json`` and ends with code 75. All
    ranks stop in the same iteration, also if only one of them got the signal.
    Started again in the same folder, the run resumes with the next batch,
    without ``resume=True``: ``SafeCheckpointHook`` finds the mark. With
    ``SeedHook`` it ends bit-identical to a run that was never stopped.

    A stock ``EpochBasedTrainLoop`` is replaced by
    :class:`mask_plugins.ResumableEpochBasedTrainLoop`. During a validation the
    run stops at once where a checkpoint was saved right before it; the
    validation is made up on resume. Further signals change nothing, but a
    second Ctrl-C interrupts at once, without saving. Data workers are kept
    alive until the training process has finished.

    Exit codes:

    - 75: stopped and saved; start it again.
    - 74: stopped, but nothing could be saved, for a full disk say: the
      checkpoint before was kept, and a new start resumes from that one.

    Args:
        signals (Sequence[str]): Names of the signals. Defaults to
            ('SIGTERM', 'SIGUSR1', 'SIGINT').
        max_time (int | float | str): Stop so long after the hook was built,
            in seconds, or as in ``sbatch --time`` ('1:50:00'). Leave time for
            the checkpoint. 0 for no limit. Defaults to 0.
        interval (int): Iterations between two agreements of the ranks, each
            of which costs an all-reduce of one number. A single process
            looks in every iteration anyway. Defaults to 1.
        stop_epoch (int, optional): Stop after so many epochs and their
            validation, as a search does that decides there whether the run
            continues. Epochs have to be saved there. Defaults to None.

    Raises:
        ValueError: If a signal is unknown, ``max_time`` cannot be read,
            ``interval`` or ``stop_epoch`` is below 1, or no checkpoint was
            saved after ``stop_epoch``.
        TypeError: If training starts without ``SafeCheckpointHook``.

    Examples:
        >>> default_hooks = dict(
        ...     preemption=dict(
        ...         type='mask_plugins.PreemptionHook', max_time='1:50:00'
        ...     )
        ... )
        >>> HOOKS.build(default_hooks['preemption']).max_time
        6600.0
    """

    # After SafeCheckpointHook (90): what it saves in this iteration is taken.
    priority = 95

    def __init__(
        self,
        signals: Sequence[str] = ('SIGTERM', 'SIGUSR1', 'SIGINT'),
        max_time: Union[int, float, str] = 0,
        interval: int = 1,
        stop_epoch: Optional[int] = None,
    ) -> None:
        names = () if isinstance(signals, str) else signals
        unknown = [n for n in names if n not in signal.Signals.__members__]
        if unknown or not names:
            what = unknown or signals
            raise ValueError(f"signals must be as ['SIGUSR1'], got {what!r}")
        self.signals = [signal.Signals[name] for name in signals]
        self.max_time = parse_time(max_time)
        self.interval = check_int('interval', interval, low=1)
        self.stop_epoch = check_int('stop_epoch', stop_epoch, 1, optional=True)
        self._begin = time.monotonic()
        self._received = 0
        self._training = self._may_leave = False
        self._checkpoints: Optional[SafeCheckpointHook] = None
        self._previous: Dict[signal.Signals, Any] = {}

    def _note(self, signum: int, frame: Any) -> None:
        # Nothing else: a handler may interrupt whatever code there is.
        if self._received and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = self._received or signum

    # -------------------------------------------------------- start and end
    def before_run(self, runner: Runner) -> None:
        """Take a loop that can stop inside an epoch, and the signals."""
        loop = runner._train_loop
        if not isinstance(loop, BaseLoop):
            return  # a test or a validation: there is nothing to save
        if type(loop) is EpochBasedTrainLoop:
            loop = ResumableEpochBasedTrainLoop.from_stock(loop)
            runner._train_loop = loop
        found = [h for h in runner.hooks if isinstance(h, SafeCheckpointHook)]
        if not found:
            what = 'mask_plugins.SafeCheckpointHook'
            raise TypeError(f'default_hooks.checkpoint must be a {what}')
        self._checkpoints = found[0]
        self._training = True
        for part in (loop, runner._val_loop):
            if part is not None:
                shield_workers(part.dataloader, self.signals)
        # Python sets handlers in the main thread only; elsewhere the time is
        # what can stop a run.
        if threading.current_thread() is threading.main_thread():
            for signum in self.signals:
                self._previous[signum] = signal.signal(signum, self._note)
            # tools/train.py holds back a signal that comes before this.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self.signals)

    def before_train(self, runner: Runner) -> None:
        """Warn about what cannot be exact."""
        if not any(isinstance(hook, SeedHook) for hook in runner.hooks):
            runner.logger.warning('without SeedHook a resumed run differs')

    def after_train(self, runner: Runner) -> None:
        """Nothing is left to stop."""
        self._training = False

    def after_run(self, runner: Runner) -> None:
        """Give the signals back."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    # ------------------------------------------------------------- stopping
    def before_train_epoch(self, runner: Runner) -> None:
        """Stop here, if ``stop_epoch`` says so: all of it is written."""
        if self.stop_epoch is not None and runner.epoch == self.stop_epoch:
            saved = [self._checkpoints.saved_iter]
            dist.broadcast_object_list(saved)
            if saved[0] != runner.iter:
                raise ValueError(
                    f'stop_epoch={self.stop_epoch}: no checkpoint was saved '
                    'after this epoch; checkpoint.interval has to divide it'
                )
            reason = f'epoch {self.stop_epoch} is over'
            self._stop(runner, reason, '', stop_epoch=self.stop_epoch)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Stop here, if any rank has to."""
        if dist.get_world_size() > 1 and (runner.iter + 1) % self.interval:
            return
        reason = self._agree()
        wrapper = runner.optim_wrapper
        # Inside an update gradients are gathered that no checkpoint holds.
        if reason and (
            not isinstance(wrapper, OptimWrapper) or wrapper.should_update()
        ):
            what = f'saving after iteration {runner.iter + 1}'
            runner.logger.warning(f'{type(self).__name__}: {reason}; {what}.')
            self._stop(runner, reason, self._checkpoints.save_now(runner))

    def before_val_epoch(self, runner: Runner) -> None:
        """See whether the run could be left during this validation."""
        if self._training:
            # Rank 0 has saved; ranks with unlike loaders would wait forever.
            mine = (len(runner.val_dataloader), self._checkpoints.saved_iter)
            all_of_them = dist.all_gather_object(mine)
            self._may_leave = len({length for length, _ in all_of_them}) == 1
            self._may_leave &= all_of_them[0][1] == runner.iter

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Stop here, if the checkpoint of this iteration is there."""
        reason = self._training and self._may_leave and self._agree()
        if reason:
            self._stop(runner, reason, '')

    def _agree(self) -> str:
        """Why to stop, '' to continue; the same answer on all ranks."""
        reason = self._received
        if self.max_time and time.monotonic() - self._begin > self.max_time:
            reason = reason or _OUT_OF_TIME
        if dist.get_world_size() > 1:
            shared = tensor(reason)
            dist.all_reduce(shared, 'max')
            reason = int(shared)
        if reason == _OUT_OF_TIME:
            return f'max_time={format_time(self.max_time)} is over'
        return f'got {signal.Signals(reason).name}' if reason else ''

    def _stop(
        self, runner: Runner, reason: str, problem: str, **more: Any
    ) -> None:
        """End all ranks with the same code."""
        codes = run_state.EXIT_PREEMPTED, run_state.EXIT_NOT_SAVED
        code = [codes[bool(problem)]]
        # The others wait here until rank 0 has saved.
        dist.broadcast_object_list(code)
        more.update(reason=reason, exit_code=code[0], problem=problem)
        more['checkpoint'] = self._checkpoints.last_ckpt
        done = self._checkpoints.saved_iter
        more['iteration'] = done
        run_state.note_state(runner, run_state.PREEMPTED, done > 0, **more)
        runner.logger.warning(
            f'{type(self).__name__}: {reason}; stopped, exit code {code[0]}. '
            'The same command resumes the run.'
        )
        runner.visualizer.close()
        # The process is to end with its code, not by one more signal.
        for signum in self._previous:
            if signum != signal.SIGINT:
                signal.signal(signum, signal.SIG_IGN)
        raise Preempted(code[0])
