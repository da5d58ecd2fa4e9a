# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Distances of logits, and how a config names a loss of logits."""

from typing import Union

from torch import Tensor, nn

from mask_plugins.functional.distillation import DISTANCES, logit_distance
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_number,
    check_type,
)

from .distillation_loss import DistillationLoss

NAMES = ('kd', *DISTANCES)


@MODELS.register_module()
class LogitLoss(nn.Module):
    """Distance of the student's logits to the teacher's.

    Args:
        kind (str): ``'l2'``, ``'l1'`` or ``'cosine'``; see
            :func:`mask_plugins.functional.distillation.logit_distance`.
            Defaults to ``'l2'``.
        softmax (bool): Compare class probabilities. Defaults to False.
        detach_target (bool): No gradient through the target.
            Defaults to True.
        loss_weight (float): Factor, at least 0. Defaults to 1.

    Raises:
        TypeError, ValueError: If ``kind`` is unknown, ``loss_weight`` is
            negative, or a flag is not a bool.

    Examples:
        >>> import torch
        >>> LogitLoss('l1')(torch.ones(2, 3), torch.zeros(2, 3)).item()
        1.0
    """

    def __init__(
        self,
        kind: str = 'l2',
        softmax: bool = False,
        detach_target: bool = True,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.kind = check_choice('kind', kind, DISTANCES)
        self.softmax = check_bool('softmax', softmax)
        self.detach_target = check_bool('detach_target', detach_target)
        self.loss_weight = check_number('loss_weight', loss_weight, 0)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss.

        Args:
            pred (Tensor): Logits of the student, :math:`(N, C)`, or a map,
                :math:`(N, C, *)`.
            target (Tensor): Logits of the teacher, of the same shape.

        Returns:
            Tensor: Scalar.
        """
        return self.loss_weight * logit_distance(
            pred, target, self.kind, self.softmax, self.detach_target
        )


def build_logit_loss(
    loss: Union[str, dict, nn.Module],
    softmax: bool = False,
    name: str = 'loss',
) -> nn.Module:
    """Build what compares a student's logits with a teacher's.

    Args:
        loss (str | dict | nn.Module): ``'kd'``, ``'l2'``, ``'l1'`` or
            ``'cosine'``, or the config of any loss that is called with
            ``(pred, target)`` and returns a scalar.
        softmax (bool): Only with a distance's name: compare class
            probabilities. Defaults to False.
        name (str): Name of the argument in errors. Defaults to ``'loss'``.

    Returns:
        nn.Module: The loss.

    Raises:
        ValueError: If the name is unknown, or softmax does not apply.
        TypeError: If it is not a name, a config or a module.

    Examples:
        >>> import torch
        >>> loss = build_logit_loss('l2', softmax=True)
        >>> logits = torch.tensor([[1.0, 2.0]])
        >>> loss(logits, logits)
        tensor(0.)
    """
    is_distance = isinstance(loss, str) and loss in DISTANCES
    if check_bool(f'softmax of {name}', softmax) and not is_distance:
        raise ValueError(
            f'softmax applies to {name} = {" | ".join(DISTANCES)} only '
            f'(distillation has a softmax of its own), got {name}={loss!r}'
        )
    if is_distance:
        return LogitLoss(loss, softmax)
    if isinstance(loss, str):
        check_choice(name, loss, NAMES)
        return DistillationLoss()
    loss = MODELS.build(loss) if isinstance(loss, dict) else loss
    allowed = f'one of {NAMES}, a config or a module'
    return check_type(name, loss, nn.Module, allowed)
