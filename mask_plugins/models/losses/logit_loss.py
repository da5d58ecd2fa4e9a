# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Distances of logits, and how a config names a loss of logits."""

from typing import Union

from torch import Tensor, nn

from mask_plugins.functional.distillation import DISTANCES, logit_distance
from mask_plugins.registry import MODELS

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
        loss_weight (float): Factor. Defaults to 1.

    Raises:
        ValueError: If an argument is not one of the allowed.
    """

    def __init__(
        self,
        kind: str = 'l2',
        softmax: bool = False,
        detach_target: bool = True,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if kind not in DISTANCES:
            raise ValueError(f'kind must be one of {DISTANCES}, got {kind!r}')
        self.kind = kind
        self.softmax = softmax
        self.detach_target = detach_target
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss.

        Args:
            pred (Tensor): Logits of the student, :math:`(N, C)`.
            target (Tensor): Logits of the teacher, :math:`(N, C)`.

        Returns:
            Tensor: Scalar.
        """
        return self.loss_weight * logit_distance(
            pred, target, self.kind, self.softmax, self.detach_target
        )

    def extra_repr(self) -> str:
        """The options, for ``print``."""
        return (
            f'kind={self.kind!r}, softmax={self.softmax}, '
            f'detach_target={self.detach_target}, '
            f'loss_weight={self.loss_weight}'
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
        name (str): How messages call the argument. Defaults to ``'loss'``.

    Returns:
        nn.Module: The loss.

    Raises:
        ValueError: If the name is unknown, or softmax does not apply.
        TypeError: If it is none of these.
    """
    is_distance = isinstance(loss, str) and loss in DISTANCES
    if softmax and not is_distance:
        raise ValueError(
            f'softmax applies to {name} = {" | ".join(DISTANCES)} only '
            f'(distillation has a softmax of its own), got {name}={loss!r}'
        )
    if isinstance(loss, str):
        if loss == 'kd':
            loss = dict(type='mask_plugins.DistillationLoss')
        elif is_distance:
            loss = dict(
                type='mask_plugins.LogitLoss', kind=loss, softmax=softmax
            )
        else:
            raise ValueError(
                f'{name} must be one of {NAMES} or the config of a loss, got '
                f'{loss!r}'
            )
    if isinstance(loss, dict):
        loss = MODELS.build(loss)
    if not isinstance(loss, nn.Module):
        raise TypeError(
            f'{name} must be one of {NAMES}, a config or a module, got '
            f'{loss!r}'
        )
    return loss
