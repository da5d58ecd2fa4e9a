# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A moving average of the student."""

from typing import Optional

import torch
from mmengine.model import (
    BaseAveragedModel,
    ExponentialMovingAverage,
    MomentumAnnealingEMA,
    StochasticWeightAverage,
)
from torch import Tensor

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice, check_int, check_ratio

from .base import ReferenceTeacher
from .network import Network, copy_buffers
from .tensor_list import TensorList

MODES = ('ema', 'annealed', 'mean')
# The words of masked-analysis, accepted in configs.
ALIASES = dict(anne='annealed', sto='mean')


@MODELS.register_module()
class EMATeacher(ReferenceTeacher):
    r"""An average of the student's weights, updated after optimizer steps.

    The mean teacher (Tarvainen and Valpola, arXiv:1703.01780) by the averaged
    models of mmengine, whose rule is applied to all tensors at once. The
    first update copies the student; buffers are copied in every update.

    ``momentum`` is a plain attribute that ``mask_plugins.ScheduleHook`` can
    set (``target='teacher.momentum'``).

    Args:
        mode (str): ``'ema'``,
            :math:`\bar\theta \leftarrow (1 - m) \bar\theta + m \theta`;
            ``'annealed'``, the same with
            :math:`m_t = \max(m, \gamma / (\gamma + t))` after t updates; or
            ``'mean'``, the mean of all. masked-analysis' ``'anne'`` and
            ``'sto'`` are accepted. Defaults to ``'ema'``.
        momentum (float): m, the weight of the new value, in (0, 1); not used
            by ``'mean'``. Defaults to 0.0002.
        gamma (int): Used by ``'annealed'`` alone. Defaults to 100.
        interval (int): Optimizer steps from one update of the average to the
            next. Defaults to 1.
        begin (int): Epochs that are trained without it. Defaults to 0.

    Raises:
        TypeError, ValueError: If ``mode`` is unknown, ``momentum`` is not in
            (0, 1), or ``gamma``, ``interval`` or ``begin`` is too small.

    Examples:
        >>> from torch import nn
        >>> student, teacher = nn.Linear(2, 1), EMATeacher(momentum=0.5)
        >>> teacher.attach(student)
        >>> teacher.update(student)  # the first copies
        >>> teacher.average.module.weight.equal(student.weight)
        True
    """

    follows_steps = True

    def __init__(
        self,
        mode: str = 'ema',
        momentum: float = 0.0002,
        gamma: int = 100,
        interval: int = 1,
        begin: int = 0,
    ) -> None:
        super().__init__(begin)
        self.mode = check_choice('mode', ALIASES.get(mode, mode), MODES)
        self.momentum = check_ratio('momentum', momentum, '()')
        self.gamma = check_int('gamma', gamma, 1)
        self.interval = check_int('interval', interval, 1)
        self._steps: Optional[int] = None  # cached value of the buffer

    def attach(self, network: Network) -> None:
        """See the base class; the average is made here, once."""
        self.average = self._averaged_model(network)
        self.eval()

    def _averaged_model(self, network: Network) -> BaseAveragedModel:
        options = dict(interval=self.interval)
        if self.mode == 'mean':
            return StochasticWeightAverage(network, **options)
        options['momentum'] = self.momentum
        if self.mode == 'ema':
            return ExponentialMovingAverage(network, **options)
        return MomentumAnnealingEMA(network, gamma=self.gamma, **options)

    def forward(self, x) -> Tensor:
        """Logits of the average, :math:`(N, C)`."""
        return self.average(x)

    @torch.no_grad()
    def update(self, student: Network) -> None:
        """Average in the student, once per optimizer step.

        Raises:
            ValueError: If ``momentum`` was set to a value outside [0, 1].
        """
        check_ratio('teacher.momentum', self.momentum)
        average = self.average
        if self._steps is None:
            self._steps = int(average.steps)
        own = list(average.module.parameters())
        new = list(student.parameters())
        if self._steps == 0:
            torch._foreach_copy_(own, new)
        elif self._steps % self.interval == 0:
            if self.mode != 'mean':
                average.momentum = self.momentum
            average.avg_func(TensorList(own), TensorList(new), self._steps)
        copy_buffers(average.module, student)
        average.steps += 1
        self._steps += 1
        self._start()

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = None
