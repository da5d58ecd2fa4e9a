# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Linear warm-up and one cosine, from the first step or from its end."""

import logging
import math
from typing import List, Optional, Union

from mmengine.logging import print_log
from mmengine.optim import BaseOptimWrapper, _ParamScheduler
from torch.optim import Optimizer

from mask_plugins.registry import PARAM_SCHEDULERS
from mask_plugins.utils.checks import check_bool, check_int, check_number

INF = int(1e9)  # mmengine's "never"


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    r"""timm's cosine schedule with linear warm-up, in closed form.

    At step :math:`t`, counted from ``begin``, the rate of a group of base
    rate :math:`\eta` is

    .. math::
        \eta_t = \begin{cases}
            w_0 + t\,(\eta - w_0) / W & t < W \\
            m + \frac{1}{2}(\eta - m)(1 + \cos(\pi t / T)) & W \le t < T \\
            m & t \ge T
        \end{cases}

    The cosine runs from :math:`t = 0`, hence the rate drops at the end of
    the warm-up (to 0.905 of its peak for :math:`W / T = 0.2`); mmengine's
    ``LinearLR`` followed by ``CosineAnnealingLR`` starts the cosine at
    :math:`W` instead. So does ``cosine_after_warmup=True``: the angle is then
    :math:`\pi (t - W) / (T - W)` and the rate at :math:`W` is :math:`\eta`, as
    in Self-Masking Networks (``LinearLR`` can neither start at 0 nor take all
    of :math:`W` steps). :math:`w_0` and :math:`m` are rates, not fractions:
    all groups share them, whatever their layer-wise decay. The default is
    ``CosineLRScheduler`` of timm 0.4.12 with ``warmup_prefix=False`` and one
    cycle, which SimMIM and DeiT use.

    The rate is a function of the step alone (no recursion), so a resumed
    run has exactly the rates of the uninterrupted one.

    A training that is cut down to less than its warm-up (a first try of a few
    epochs) ends inside the warm-up, with a warning.

    Args:
        optimizer (Optimizer or BaseOptimWrapper): The optimizer.
        warmup (int): Length :math:`W` of the warm-up, in epochs (or in
            iterations if ``by_epoch=False``). Defaults to 0.
        T_max (int, optional): Length :math:`T` of the cosine, warm-up
            included, in the same unit. None means ``end - begin``; ``end``
            is the length of the training where the Runner builds the
            scheduler. Defaults to None.
        warmup_lr (float): Rate :math:`w_0` at the first step of the warm-up.
            Defaults to 0.
        eta_min (float): Rate :math:`m` at the end. Defaults to 0.
        begin (int): First step that is scheduled. Defaults to 0.
        end (int): Step from which the rate is left alone. Defaults to INF.
        cosine_after_warmup (bool): Whether the cosine begins when the warm-up
            ends. Defaults to False.
        **kwargs: ``last_step``, ``by_epoch`` and ``verbose`` of mmengine's
            schedulers. With ``convert_to_iter_based=True`` in the config the
            lengths stay in epochs and the rate changes at every iteration.

    Raises:
        TypeError: If a length or rate is not a number.
        ValueError: If a rate or ``warmup`` is negative, or ``T_max`` is below
            1, as in a training without an iteration.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=1.0)
        >>> scheduler = WarmupCosineLR(optimizer, warmup=2, T_max=4)
        >>> for _ in range(4):
        ...     print(round(optimizer.param_groups[0]['lr'], 3))
        ...     optimizer.step()
        ...     scheduler.step()
        0.0
        0.5
        0.5
        0.146
    """

    def __init__(
        self,
        optimizer: Union[Optimizer, BaseOptimWrapper],
        warmup: int = 0,
        T_max: Optional[int] = None,
        warmup_lr: float = 0.0,
        eta_min: float = 0.0,
        begin: int = 0,
        end: int = INF,
        cosine_after_warmup: bool = False,
        **kwargs,
    ) -> None:
        T_max = end - begin if T_max is None else T_max
        self.T_max = check_int('T_max', T_max, low=1)
        self.warmup = check_number('warmup', warmup, low=0)
        self.warmup_lr = check_number('warmup_lr', warmup_lr, low=0)
        self.eta_min = check_number('eta_min', eta_min, low=0)
        check_bool('cosine_after_warmup', cosine_after_warmup)
        self.cosine_after_warmup = cosine_after_warmup
        if warmup >= self.T_max:
            print_log(
                f'{type(self).__name__}: warmup={warmup} is not shorter than '
                f'the schedule (T_max={self.T_max}): no peak is reached',
                logger='current',
                level=logging.WARNING,
            )
        super().__init__(
            optimizer, param_name='lr', begin=begin, end=end, **kwargs
        )

    @classmethod
    def build_iter_from_epoch(
        cls, *args, by_epoch: bool = True, epoch_length=None, **kwargs
    ) -> 'WarmupCosineLR':
        """Build an iteration-based schedule from lengths in epochs."""
        if not by_epoch:
            raise ValueError('convert_to_iter_based needs by_epoch=True')
        check_int('epoch_length', epoch_length, low=1)
        for name in ('warmup', 'T_max', 'begin', 'end'):
            if kwargs.get(name) not in (None, INF):
                kwargs[name] = int(kwargs[name] * epoch_length)
        return cls(*args, by_epoch=False, **kwargs)

    def _get_value(self) -> List[float]:
        """Return the rate of every parameter group at ``last_step``."""
        t, start, end = self.last_step, self.warmup_lr, self.eta_min
        if t < self.warmup:
            rates = self.base_values
            return [start + t * (lr - start) / self.warmup for lr in rates]
        if t >= self.T_max:
            return [end for _ in self.base_values]
        before = self.warmup if self.cosine_after_warmup else 0
        angle = math.pi * (t - before) / (self.T_max - before)
        factor = 0.5 * (1 + math.cos(angle))
        return [end + (lr - end) * factor for lr in self.base_values]
