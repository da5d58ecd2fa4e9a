# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A staircase of rates that starts anew in every stage of a run."""

from typing import List, Sequence, Union

from mmengine.optim import BaseOptimWrapper, _ParamScheduler
from torch.optim import Optimizer

from mask_plugins.registry import PARAM_SCHEDULERS

INF = int(1e9)  # mmengine's "never"


@PARAM_SCHEDULERS.register_module()
class StagewiseMultiStepLR(_ParamScheduler):
    r"""Decay each group's rate at milestones within each stage.

    In a stage, epoch :math:`e` (from 0) has the rate

    .. math:: \eta_e = \eta \, \gamma^{\,|\{m \in M : m \le e\}|}

    and the next stage begins at :math:`\eta` again: the rounds and the ticket
    phase of Continuous Sparsification (arXiv:1912.04427) in one run. The rate
    is a function of the epoch alone, so nothing is rebuilt and a resumed run
    has exactly the rates of the uninterrupted one.

    Args:
        optimizer (Optimizer or BaseOptimWrapper): The optimizer.
        stage_epochs (int | Sequence[int]): Length of the stages; of the last
            one as often as needed.
        milestones (Sequence[int | float]): Epochs within a stage, or as
            floats in (0, 1) shares of its length, at which the rate decays.
        gamma (float): Factor at a milestone. Defaults to 0.1.
        begin (int): First epoch that is scheduled. Defaults to 0.
        end (int): Epoch at which the schedule lets go. Defaults to INF.
        last_step (int): Index of the last step done. Defaults to -1.
        by_epoch (bool): Has to be True. Defaults to True.
        verbose (bool): Whether to print each update. Defaults to False.

    Raises:
        ValueError: If a length, milestone or factor is not one of the
            allowed.
    """

    def __init__(
        self,
        optimizer: Union[Optimizer, BaseOptimWrapper],
        stage_epochs: Union[int, Sequence[int]],
        milestones: Sequence[Union[int, float]],
        gamma: float = 0.1,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        if isinstance(stage_epochs, int):
            stage_epochs = [stage_epochs]
        self.stage_epochs = tuple(stage_epochs)
        if not self.stage_epochs or any(
            not isinstance(n, int) or n < 1 for n in self.stage_epochs
        ):
            raise ValueError(
                'stage_epochs must be a positive int or a list of them, got '
                f'{stage_epochs!r}'
            )
        self.milestones = tuple(milestones)
        if any(m < 0 or (isinstance(m, float) and m >= 1) for m in milestones):
            raise ValueError(
                'milestones must be ints of at least 0 (epochs) or floats in '
                f'(0, 1) (shares of a stage), got {milestones!r}'
            )
        if not 0 < gamma <= 1:
            raise ValueError(f'gamma must be in (0, 1], got {gamma!r}')
        if not by_epoch:
            raise ValueError(
                'StagewiseMultiStepLR counts epochs: by_epoch=True'
            )
        self.gamma = gamma
        super().__init__(
            optimizer,
            param_name='lr',
            begin=begin,
            end=end,
            last_step=last_step,
            by_epoch=by_epoch,
            verbose=verbose,
        )

    def _get_value(self) -> List[float]:
        """The rate of every parameter group at ``last_step``."""
        epoch, length = self._within_stage(self.last_step)
        passed = sum(epoch >= m for m in self._in_epochs(length))
        return [lr * self.gamma**passed for lr in self.base_values]

    def _within_stage(self, epoch: int) -> tuple:
        """Epoch within its stage, and the length of that."""
        for length in self.stage_epochs[:-1]:
            if epoch < length:
                return epoch, length
            epoch -= length
        return epoch % self.stage_epochs[-1], self.stage_epochs[-1]

    def _in_epochs(self, length: int) -> List[int]:
        return [
            round(m * length) if isinstance(m, float) else m
            for m in self.milestones
        ]
