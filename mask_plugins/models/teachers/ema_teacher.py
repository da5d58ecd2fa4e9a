# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A moving average of the student."""

from typing import Optional

import torch
from torch import nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice, check_int, check_ratio

from .base import ReferenceTeacher
from .copy_buffers import copy_buffers

MODES = ('ema', 'annealed', 'mean')
# The words of masked-analysis, accepted in configs.
ALIASES = dict(anne='annealed', sto='mean')


@MODELS.register_module()
class EMATeacher(ReferenceTeacher):
    r"""An average of the student's weights, updated after optimizer steps.

    The mean teacher (Tarvainen and Valpola, arXiv:1703.01780) by the rules of
    mmengine's averaged models, applied to all tensors at once. The first
    update copies the student; buffers are copied in every update.

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
        >>> teacher.network.weight.equal(student.weight)
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
        self.register_buffer('steps', torch.tensor(0))
        self._steps: Optional[int] = None  # cached value of the buffer

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Average in the student, once per optimizer step.

        Raises:
            ValueError: If ``momentum`` was set to a value outside [0, 1].
        """
        check_ratio('teacher.momentum', self.momentum)
        if self._steps is None:
            self._steps = int(self.steps)
        own, new = list(self.network.parameters()), list(student.parameters())
        if self._steps % self.interval == 0:
            torch._foreach_lerp_(own, new, self._weight(self._steps))
        copy_buffers(self.network, student)
        self.steps += 1
        self._steps += 1
        self._start()

    def _weight(self, step: int) -> float:
        """The weight of the student after so many updates."""
        if step == 0:
            return 1.0
        if self.mode == 'mean':
            return 1 / (step // self.interval + 1)
        floor = 0 if self.mode == 'ema' else self.gamma / (self.gamma + step)
        return max(self.momentum, floor)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = None
