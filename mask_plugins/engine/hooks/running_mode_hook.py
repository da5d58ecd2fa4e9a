# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which side of a gated network learns, over the epochs."""

from typing import Dict, Optional, Union

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core import patches
from mask_plugins.registry import HOOKS

from .attribute_target import unwrap


@HOOKS.register_module()
class RunningModeHook(Hook):
    """Set the running mode of a network with gates (PASS, AAAI 2023).

    Every mode sets both sides: ``GatePreTrain`` trains the gates and freezes
    the network, ``FineTuning`` the other way round, and ``BackboneTrain``
    bypasses the gates. Parameters that were frozen before stay frozen. A
    frozen gate neither samples nor updates its BatchNorm statistics.
    Validation and test run in ``Test``, and training continues in its mode.

    The mode is a function of the epoch, so that a resumed run needs no state.
    Under DDP, frozen parameters must be known when the model is wrapped: give
    the model the first mode too (``running_mode`` of
    :class:`mask_plugins.StreamClassifier`), and for a change of modes
    ``find_unused_parameters=True``.

    Args:
        mode (str | dict[int, str]): A mode of
            :class:`mask_plugins.core.patches.RunningMode` by name, or modes
            by the first epoch that they hold for, such as
            ``{0: 'BackboneTrain', 5: 'GatePreTrain', 8: 'FineTuning'}``.

    Raises:
        TypeError: If an epoch is not an int.
        ValueError: If a mode is unknown, epoch 0 has none, or the model has
            no gates.

    Examples:
        >>> hook = RunningModeHook({0: 'BackboneTrain', 5: 'FineTuning'})
        >>> hook.mode_at(4).name, hook.mode_at(9).name
        ('BackboneTrain', 'FineTuning')
    """

    # Before hooks that look at what is trained.
    priority = 'HIGH'

    def __init__(self, mode: Union[str, Dict[int, str]]) -> None:
        modes = mode if isinstance(mode, dict) else {0: mode}
        for epoch in modes:
            # Keys of a config file that came through JSON are strings.
            if isinstance(epoch, bool) or not str(epoch).isdecimal():
                raise TypeError(f'mode: keys must be epochs, got {epoch!r}')
        self.modes = {
            int(e): patches.check_running_mode(modes[e]) for e in modes
        }
        if 0 not in self.modes:
            raise ValueError(f'mode: epoch 0 must have one, got {modes}')
        self._current: Optional[patches.RunningMode] = None

    def mode_at(self, epoch: int) -> patches.RunningMode:
        """The mode of an epoch."""
        return self.modes[max(e for e in self.modes if e <= epoch)]

    # ------------------------------------------------------------- training
    def before_train(self, runner: Runner) -> None:
        """Check the model; set the mode also for an iteration-based loop."""
        if not any(True for _ in patches.gates_of(unwrap(runner.model))):
            raise ValueError('the model has no gates: use apply_patch_gates')
        self.before_train_epoch(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """The mode of this epoch."""
        mode, epoch = self.mode_at(runner.epoch), runner.epoch + 1
        if mode is not self._current:
            name = type(self).__name__
            runner.logger.info(f'{name}: {mode.name} from epoch {epoch}')
        self._current = mode
        patches.set_running_mode(unwrap(runner.model), mode)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Training continues in its mode."""
        if runner._train_loop is not None and self._current is not None:
            patches.set_running_mode(unwrap(runner.model), self._current)

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Nothing learns, nothing is random."""
        patches.set_running_mode(unwrap(runner.model), 'Test')

    before_test_epoch = before_val_epoch
