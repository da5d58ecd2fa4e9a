# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A staircase of rates that starts again in every stage of a run."""

from typing import List, Sequence, Union

from mmengine.optim import BaseOptimWrapper, _ParamScheduler
from torch.optim import Optimizer

from mask_plugins.registry import PARAM_SCHEDULERS
from mask_plugins.utils.checks import check_int, check_number, check_ratio

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
        **kwargs: ``begin``, ``end``, ``last_step`` and ``verbose`` of
            mmengine's schedulers.

    Raises:
        TypeError: If a length or milestone is not a number.
        ValueError: If a length is below 1, a milestone is negative or a share
            of 1 or more, ``gamma`` is not in (0, 1], or ``by_epoch`` is not
            True.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=1.0)
        >>> scheduler = StagewiseMultiStepLR(optimizer, 2, milestones=[1])
        >>> for _ in range(3):
        ...     print(optimizer.param_groups[0]['lr'])
        ...     optimizer.step()
        ...     scheduler.step()
        1.0
        0.1
        1.0
    """

    def __init__(
        self,
        optimizer: Union[Optimizer, BaseOptimWrapper],
        stage_epochs: Union[int, Sequence[int]],
        milestones: Sequence[Union[int, float]],
        gamma: float = 0.1,
        by_epoch: bool = True,
        **kwargs,
    ) -> None:
        one = isinstance(stage_epochs, int)
        lengths = [stage_epochs] if one else stage_epochs
        lengths = [check_int('stage_epochs', n, low=1) for n in lengths]
        self.stage_epochs = tuple(lengths)
        if not self.stage_epochs:
            raise ValueError('stage_epochs must not be empty')
        self.milestones = tuple(
            check_number('milestones', m, 0, 1, ends='[)')
            if isinstance(m, float)
            else check_int('milestones', m, low=0)
            for m in milestones
        )
        self.gamma = check_ratio('gamma', gamma, ends='(]')
        if by_epoch is not True:
            raise ValueError('milestones are epochs: leave by_epoch=True')
        super().__init__(optimizer, param_name='lr', by_epoch=True, **kwargs)

    def _get_value(self) -> List[float]:
        """The rate of every parameter group at ``last_step``."""
        epoch, length = self._within_stage(self.last_step)
        factor = self._decay(self.milestones, epoch, length)
        return [lr * factor for lr in self.base_values]

    def _within_stage(self, epoch: int) -> tuple:
        """Epoch within its stage, and the length of that."""
        for length in self.stage_epochs[:-1]:
            if epoch < length:
                return epoch, length
            epoch -= length
        return epoch % self.stage_epochs[-1], self.stage_epochs[-1]

    def _decay(self, milestones: Sequence, epoch: int, length: int) -> float:
        shares = {m: round(m * length) for m in milestones if type(m) is float}
        return self.gamma ** sum(epoch >= shares.get(m, m) for m in milestones)
