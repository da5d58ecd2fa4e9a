# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Knowledge distillation of class probabilities."""

from torch import Tensor, nn

from mask_plugins.functional.distillation import (
    KINDS,
    SOFTMAX_OVER,
    distillation_loss,
)
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_bool, check_choice, check_number


@MODELS.register_module()
class DistillationLoss(nn.Module):
    """Knowledge distillation (Hinton et al., arXiv:1503.02531).

    ``temperature=2, kind='cross_entropy', scale=False`` is the loss of
    masked-analysis, whose size falls with the temperature and which is not 0
    where both agree.

    Args:
        temperature (float): Softens both distributions. Defaults to 2.
        kind (str): ``'kl'`` or ``'cross_entropy'``. Defaults to ``'kl'``.
        scale (bool): Multiply by the squared temperature, so that gradients
            do not depend on it. Defaults to True.
        detach_target (bool): No gradient through the target.
            Defaults to True.
        loss_weight (float): Factor, at least 0. Defaults to 1.
        softmax_over (str): ``'channels'`` or, for maps, ``'positions'``; see
            :func:`mask_plugins.functional.distillation.distillation_loss`.
            Defaults to ``'channels'``.

    Raises:
        TypeError, ValueError: If ``temperature`` is not above 0,
            ``loss_weight`` is negative, ``kind`` or ``softmax_over`` is
            unknown, or a flag is not a bool.

    Examples:
        >>> import torch
        >>> loss = DistillationLoss(temperature=4.0)
        >>> loss(torch.ones(2, 3), torch.ones(2, 3)).item()
        0.0
    """

    def __init__(
        self,
        temperature: float = 2.0,
        kind: str = 'kl',
        scale: bool = True,
        detach_target: bool = True,
        loss_weight: float = 1.0,
        softmax_over: str = 'channels',
    ) -> None:
        super().__init__()
        check_number('temperature', temperature, 0, ends='()')
        self.temperature = temperature
        self.kind = check_choice('kind', kind, KINDS)
        self.scale = check_bool('scale', scale)
        self.detach_target = check_bool('detach_target', detach_target)
        self.loss_weight = check_number('loss_weight', loss_weight, 0)
        self.softmax_over = check_choice(
            'softmax_over', softmax_over, SOFTMAX_OVER
        )

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss.

        Args:
            pred (Tensor): Logits of the student, :math:`(N, C)`, or a map,
                :math:`(N, C, *)`.
            target (Tensor): Logits of the teacher, of the same shape.

        Returns:
            Tensor: Scalar.
        """
        return self.loss_weight * distillation_loss(
            pred,
            target,
            self.temperature,
            self.kind,
            self.scale,
            self.detach_target,
            self.softmax_over,
        )
