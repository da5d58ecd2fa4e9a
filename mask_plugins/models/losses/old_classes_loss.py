# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A loss of logits that looks at the classes of earlier tasks only."""

from typing import Union

from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_int, check_number

from .logit_loss import build_logit_loss


@MODELS.register_module()
class OldClassesLoss(nn.Module):
    """Compare student and teacher on what was learned before this task.

    Learning without Forgetting (Li and Hoiem, arXiv:1606.09282): the model as
    it was before the task teaches the classes that it knew then. It is 0 in
    the first task. :class:`mask_plugins.ContinualHook` sets what is old. It
    can stand wherever a config names a loss of logits: LwF is
    ``ReferenceClassifier(kd_loss=...)`` and masked LwF is
    ``MaskedFeatureHead(mask_loss=...)``, with any teacher.

    Args:
        loss (str | dict): ``'kd'``, ``'l2'``, ``'l1'``, ``'cosine'``, or the
            config of a loss that is called with ``(pred, target)``. Defaults
            to ``'kd'``.
        softmax (bool): Only with a distance's name: compare the
            probabilities among the old classes. Defaults to False.
        loss_weight (float): Factor. Defaults to 1.

    Raises:
        TypeError, ValueError: If ``loss`` is unknown or ``loss_weight`` is
            negative.

    Examples:
        >>> import torch
        >>> loss = OldClassesLoss('l2')
        >>> loss.set_classes(old=2, seen=4)
        >>> loss(torch.ones(1, 4), torch.zeros(1, 4)).item()
        1.0
    """

    def __init__(
        self,
        loss: Union[str, dict] = 'kd',
        softmax: bool = False,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.loss = build_logit_loss(loss, softmax)
        self.loss_weight = check_number('loss_weight', loss_weight, 0)
        self.old = 0

    def set_classes(self, old: int, seen: int) -> None:
        """Set which classes are known.

        Args:
            old (int): Classes of the tasks before: the first ones.
            seen (int): Those and the classes of the task that is trained.

        Raises:
            TypeError, ValueError: Unless 0 <= old < seen.
        """
        check_int('seen', seen, 1)
        self.old = check_int('old', old, 0, seen - 1)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss.

        Args:
            pred (Tensor): Logits of the student, :math:`(N, C)`.
            target (Tensor): Logits of the teacher, :math:`(N, C)`.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: If the shapes differ, or there are fewer classes than
                the old ones.
        """
        if pred.shape != target.shape or pred.shape[1] < self.old:
            raise ValueError(
                'pred and target must be logits of one shape (N, C) with the '
                f'{self.old} old classes, got {tuple(pred.shape)} and '
                f'{tuple(target.shape)}'
            )
        pred, target = pred[:, : self.old], target[:, : self.old]
        if not self.old:
            return pred.sum()  # 0, with the gradients that DDP waits for
        return self.loss_weight * self.loss(pred, target)
