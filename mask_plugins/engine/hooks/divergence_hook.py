# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""End a run whose loss or parameters are not finite."""

from typing import Any, Optional

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from mask_plugins.functional.finite import non_finite
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_int

from ..checkpoint.run_state import (
    DONE,
    EXIT_DIVERGED,
    FAILED,
    note_state,
    read_state,
)


class Diverged(SystemExit):
    """Training was stopped because it diverged.

    Being a ``SystemExit``, it ends the process with its code where nobody
    catches it.
    """


@HOOKS.register_module()
class DivergenceHook(Hook):
    """On NaN or infinity in the loss or the parameters: exit with code 3.

    ``run_state.json`` then says 'failed' with the cause, all ranks end
    together, and the last checkpoint is one from before:
    ``SafeCheckpointHook`` does not save a model that is not finite.

    Steps that mixed precision skips (``AmpOptimWrapper``) are not a
    divergence: there a loss that is not finite ends the run only after
    ``patience`` iterations in a row, or once a parameter is not finite.

    Args:
        interval (int): Iterations between two agreements of several ranks,
            which also agree before every validation and at the end of every
            epoch. A single process looks in every iteration. Defaults to 10.
        patience (int): For mixed precision, see above. Defaults to 20.

    Raises:
        ValueError: If ``interval`` or ``patience`` is below 1.

    Examples:
        >>> default_hooks = dict(
        ...     divergence=dict(type='mask_plugins.DivergenceHook')
        ... )
        >>> HOOKS.build(default_hooks['divergence']).patience
        20
    """

    # Before SafeCheckpointHook (90) saves.
    priority = 'LOW'

    def __init__(self, interval: int = 10, patience: int = 20) -> None:
        self.interval = check_int('interval', interval, low=1)
        self.patience = check_int('patience', patience, low=1)
        self._count = 0
        self._cause = ''
        self._training = False

    def before_train(self, runner: Runner) -> None:
        """A model may be broken from the start."""
        self._training = True
        self._stop_if_diverged(runner, runner.iter)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch=None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Look at the losses; RuntimeInfoHook has waited for them."""
        bad = [
            name
            for name, value in (outputs or {}).items()
            if 'loss' in name and not _is_finite(value)
        ]
        self._count = self._count + 1 if bad else 0
        if bad and not self._cause:
            where = non_finite(runner.model)
            if where:
                self._cause = f'{bad[0]} and parameter {where} are not finite'
            elif not isinstance(runner.optim_wrapper, AmpOptimWrapper):
                self._cause = f'{bad[0]} is not finite'
            elif self._count >= self.patience:
                self._cause = (
                    f'{bad[0]} was not finite in {self._count} iterations in '
                    'a row'
                )
        if get_world_size() > 1 and (runner.iter + 1) % self.interval:
            return
        if self._cause or get_world_size() > 1:
            self._stop(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Before a checkpoint is saved."""
        self._stop_if_diverged(runner, runner.iter)

    def before_val(self, runner: Runner) -> None:
        """Before a validation, which an iteration loop has inside."""
        if self._training:
            self._stop_if_diverged(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """A run that is done has not failed, whatever it did before."""
        self._training = False
        if (read_state(runner.work_dir) or {}).get('state') == FAILED:
            note_state(runner, DONE, False)

    def _stop_if_diverged(self, runner: Runner, iteration: int) -> None:
        where = non_finite(runner.model)
        if where and not self._cause:
            self._cause = f'parameter {where} is not finite'
        self._stop(runner, iteration)

    def _stop(self, runner: Runner, iteration: int) -> None:
        """End all ranks, if any of them has to."""
        causes = [cause for cause in all_gather_object(self._cause) if cause]
        if not causes:
            return
        cause = f'diverged in iteration {iteration}: {causes[0]}'
        note_state(
            runner,
            FAILED,
            resumable=False,
            iteration=iteration,
            reason=cause,
            problem=cause,
            exit_code=EXIT_DIVERGED,
        )
        runner.logger.error(
            f'{type(self).__name__}: the run {cause}. The last checkpoint is '
            'from before. Lower the learning rate, clip gradients '
            '(optim_wrapper.clip_grad), or look for NaN in the data.'
        )
        runner.visualizer.close()
        raise Diverged(EXIT_DIVERGED)


def _is_finite(value: Any) -> bool:
    return bool(torch.as_tensor(value, dtype=torch.float64).isfinite().all())
