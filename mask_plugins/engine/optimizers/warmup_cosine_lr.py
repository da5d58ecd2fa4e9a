# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Linear warm-up and one cosine, from the first step or from its end."""

import logging
import math
from typing import List, Optional, Union

from mmengine.logging import print_log
from mmengine.optim import BaseOptimWrapper, _ParamScheduler
from torch.optim import Optimizer

from mask_plugins.registry import PARAM_SCHEDULERS

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
        end (int): Step at which the schedule lets go of the rate.
            Defaults to INF.
        last_step (int): Index of the last step done. Defaults to -1.
        by_epoch (bool): Whether a step is an epoch. With
            ``convert_to_iter_based=True`` in the config the lengths stay
            in epochs and the rate changes at every iteration.
            Defaults to True.
        verbose (bool): Whether to print each update. Defaults to False.
        cosine_after_warmup (bool): Whether the cosine begins when the warm-up
            ends. Defaults to False.

    Raises:
        ValueError: If a rate or ``warmup`` is negative, or ``T_max`` is below
            1, as in a training without an iteration.
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
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
        cosine_after_warmup: bool = False,
    ):
        if T_max is None:
            T_max = end - begin
        if T_max < 1:
            raise ValueError(
                f'T_max must be at least 1, but got {T_max}: by default it is '
                'the length of the training, which must not be 0'
            )
        for name, value in (
            ('warmup', warmup),
            ('warmup_lr', warmup_lr),
            ('eta_min', eta_min),
        ):
            if value < 0:
                raise ValueError(f'{name} must not be negative, got {value}')
        if warmup >= T_max:
            print_log(
                f'{type(self).__name__}: warmup={warmup} is not shorter than '
                f'the schedule (T_max={T_max}): the rate never reaches its '
                'peak. Set param_scheduler.warmup for a short training',
                logger='current',
                level=logging.WARNING,
            )
        self.warmup = warmup
        self.T_max = T_max
        self.warmup_lr = warmup_lr
        self.eta_min = eta_min
        self.cosine_after_warmup = cosine_after_warmup
        super().__init__(
            optimizer,
            param_name='lr',
            begin=begin,
            end=end,
            last_step=last_step,
            by_epoch=by_epoch,
            verbose=verbose,
        )

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args,
        warmup: int = 0,
        T_max: Optional[int] = None,
        begin: int = 0,
        end: int = INF,
        by_epoch: bool = True,
        epoch_length: Optional[int] = None,
        **kwargs,
    ) -> 'WarmupCosineLR':
        """Build an iteration-based schedule from lengths in epochs."""
        if not by_epoch:
            raise ValueError(
                'convert_to_iter_based needs by_epoch=True: the lengths are '
                'converted from epochs to iterations'
            )
        if not epoch_length or epoch_length < 0:
            raise ValueError(
                f'epoch_length must be a positive int, got {epoch_length}'
            )
        return cls(
            *args,
            warmup=int(warmup * epoch_length),
            T_max=None if T_max is None else int(T_max * epoch_length),
            begin=int(begin * epoch_length),
            end=end if end == INF else int(end * epoch_length),
            by_epoch=False,
            **kwargs,
        )

    def _get_value(self) -> List[float]:
        """Return the rate of every parameter group at ``last_step``."""
        t = self.last_step
        if t < self.warmup:
            return [
                self.warmup_lr + t * (lr - self.warmup_lr) / self.warmup
                for lr in self.base_values
            ]
        if t >= self.T_max:
            return [self.eta_min for _ in self.base_values]
        before = self.warmup if self.cosine_after_warmup else 0
        angle = math.pi * (t - before) / (self.T_max - before)
        factor = 0.5 * (1 + math.cos(angle))
        return [
            self.eta_min + (lr - self.eta_min) * factor
            for lr in self.base_values
        ]
