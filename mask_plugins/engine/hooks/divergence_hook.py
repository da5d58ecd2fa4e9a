# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""End a run whose loss or parameters are not finite."""

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from mask_plugins.functional.finite import non_finite
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_int

from ..checkpoint import run_state


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
        self.before_val(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Look at the losses; RuntimeInfoHook has waited for them."""
        bad = [
            name
            for name, value in (outputs or {}).items()
            if 'loss' in name and not torch.as_tensor(value).isfinite().all()
        ]
        self._count = self._count + 1 if bad else 0
        where = non_finite(runner.model) if bad else ''
        skips = isinstance(runner.optim_wrapper, AmpOptimWrapper)
        if bad and (where or not skips or self._count >= self.patience):
            what = f'{bad[0]} and parameter {where} are' if where else ''
            self._cause = self._cause or (
                f'{what or bad[0] + " is"} not finite, for {self._count} '
                'iterations in a row'
            )
        if get_world_size() > 1 and (runner.iter + 1) % self.interval:
            return
        if self._cause or get_world_size() > 1:
            self._stop(runner, runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Before a validation, and before a checkpoint is saved."""
        if self._training:
            where = non_finite(runner.model)
            if where and not self._cause:
                self._cause = f'parameter {where} is not finite'
            self._stop(runner, runner.iter)

    after_train_epoch = before_val

    def after_train(self, runner: Runner) -> None:
        """A run that is done has not failed, whatever it did before."""
        self._training = False
        state = run_state.read_state(runner.work_dir) or {}
        if state.get('state') == run_state.FAILED:
            run_state.note_state(runner, run_state.DONE, False)

    def _stop(self, runner: Runner, iteration: int) -> None:
        """End all ranks, if any of them has to."""
        causes = [cause for cause in all_gather_object(self._cause) if cause]
        if not causes:
            return
        cause = f'diverged in iteration {iteration}: {causes[0]}'
        more = dict(iteration=iteration, reason=cause, problem=cause)
        more['exit_code'] = run_state.EXIT_DIVERGED
        run_state.note_state(runner, run_state.FAILED, False, **more)
        runner.logger.error(
            f'{type(self).__name__}: the run {cause}. Lower the learning rate,'
            ' clip gradients (optim_wrapper.clip_grad), or look at the data.'
        )
        runner.visualizer.close()
        raise Diverged(run_state.EXIT_DIVERGED)
