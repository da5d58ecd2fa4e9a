# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Knowledge distillation of class probabilities."""

from torch import Tensor, nn

from mask_plugins.functional.distillation import (
    check_distillation,
    distillation_loss,
)
from mask_plugins.registry import MODELS


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
        loss_weight (float): Factor. Defaults to 1.

    Raises:
        ValueError: If an argument is not one of the allowed.
    """

    def __init__(
        self,
        temperature: float = 2.0,
        kind: str = 'kl',
        scale: bool = True,
        detach_target: bool = True,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_distillation(temperature, kind)
        self.temperature = temperature
        self.kind = kind
        self.scale = scale
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
        return self.loss_weight * distillation_loss(
            pred,
            target,
            self.temperature,
            self.kind,
            self.scale,
            self.detach_target,
        )

    def extra_repr(self) -> str:
        """The options, for ``print``."""
        return (
            f'temperature={self.temperature}, kind={self.kind!r}, '
            f'scale={self.scale}, detach_target={self.detach_target}, '
            f'loss_weight={self.loss_weight}'
        )
