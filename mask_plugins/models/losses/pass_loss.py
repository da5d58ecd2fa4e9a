# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The label-free loss of mask gates: a triplet, and a budget."""

import math
from typing import Dict

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_bool, check_number, check_ratio


@MODELS.register_module()
class PASSLoss(nn.Module):
    r"""Train gates by what their decisions do to features (PASS, AAAI 2023).

    .. math::
        L = \max(0, m + d(a, p) - d(a, n))
            + \lambda_b \max(0, \rho - S)^2
            + \lambda_c \max(0, S - S_{max})^2
            + \lambda_k \|a - p\|^2 / \|a\|^2

    with a, p, n the flattened features of the anchor (nothing is reused), the
    positive (what the gates call unchanged is reused) and the negative (the
    complement), d the Euclidean distance, and S the skip ratio weighted by
    multiply-adds. The triplet alone is best at skipping nothing, so the
    budget is not optional: it decides patches that do not change, for which
    the triplet has no gradient, while the triplet protects those that do.
    On several processes S is that of the joint batch.

    Args:
        margin (float): m. With the authors' 200 the hinge is always active
            and the value means nothing, but its gradient does. Defaults to
            200; choose about 1 with ``normalize``.
        normalize (bool): Divide d by the square root of the number of values,
            so that margin and weights do not depend on the size of the
            feature. Defaults to False.
        budget (float): :math:`\rho`, the skip ratio that is asked for; set it
            over time with :class:`mask_plugins.ScheduleHook`. Defaults to 0.5.
        budget_weight (float): :math:`\lambda_b`. Defaults to 100.
        max_skip_ratio (float): :math:`S_{max}`. Defaults to 1.
        ceiling_weight (float): :math:`\lambda_c`. Defaults to 100.
        consistency_weight (float): :math:`\lambda_k`. Defaults to 0.

    Raises:
        TypeError: If an argument is not a number, or ``normalize`` not a bool.
        ValueError: If a weight is negative or not finite, or a ratio not in
            [0, 1].

    Examples:
        >>> import torch
        >>> anchor, positive, negative = torch.rand(3, 2, 8)
        >>> losses = PASSLoss()(anchor, positive, negative, torch.tensor(0.3))
        >>> round(float(losses['loss_budget']), 3)  # 100 * (0.5 - 0.3)**2
        4.0
    """

    def __init__(
        self,
        margin: float = 200.0,
        normalize: bool = False,
        budget: float = 0.5,
        budget_weight: float = 100.0,
        max_skip_ratio: float = 1.0,
        ceiling_weight: float = 100.0,
        consistency_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.margin = check_number('margin', margin, 0)
        self.normalize = check_bool('normalize', normalize)
        self.budget = check_ratio('budget', budget)
        self.budget_weight = check_number('budget_weight', budget_weight, 0)
        self.max_skip_ratio = check_ratio('max_skip_ratio', max_skip_ratio)
        self.ceiling_weight = check_number('ceiling_weight', ceiling_weight, 0)
        name = 'consistency_weight'
        self.consistency_weight = check_number(name, consistency_weight, 0)

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        skip_ratio: Tensor,
    ) -> Dict[str, Tensor]:
        """All terms.

        Args:
            anchor (Tensor): :math:`(B, *)`; no gradient goes into it.
            positive (Tensor): Of the same shape.
            negative (Tensor): Of the same shape.
            skip_ratio (Tensor): S, a differentiable number.

        Returns:
            dict[str, Tensor]: ``loss_triplet``, ``loss_budget``,
            ``loss_ceiling`` and ``loss_consistency`` where their weights are
            not 0, and without "loss" in the name, for the log,
            ``distance_positive`` and ``distance_negative``.

        Raises:
            ValueError: If the batch is empty, or shapes differ.
        """
        shapes = [tuple(x.shape) for x in (anchor, positive, negative)]
        if not anchor.numel() or len(set(shapes)) > 1 or anchor.ndim < 2:
            raise ValueError(
                'anchor, positive and negative must have one shape (B, *) of '
                f'a batch that is not empty, got {shapes}'
            )
        anchor = anchor.detach().flatten(1).float()
        positive = positive.flatten(1).float()
        d_ap = self.distance(anchor, positive)
        d_an = self.distance(anchor, negative.flatten(1).float())
        losses = dict(
            loss_triplet=(self.margin + d_ap - d_an).clamp_min(0).mean(),
            distance_positive=d_ap.detach().mean(),
            distance_negative=d_an.detach().mean(),
        )
        if get_world_size() > 1:
            mean = skip_ratio.detach().clone()
            all_reduce(mean, 'mean')
            # The gradient stays the local one, of which DDP takes the mean.
            skip_ratio = skip_ratio + (mean - skip_ratio).detach()
        if self.budget_weight:
            short = (self.budget - skip_ratio).clamp_min(0)
            losses['loss_budget'] = self.budget_weight * short.square()
        if self.ceiling_weight and self.max_skip_ratio < 1:
            over = (skip_ratio - self.max_skip_ratio).clamp_min(0)
            losses['loss_ceiling'] = self.ceiling_weight * over.square()
        if self.consistency_weight:
            error = (anchor - positive).square().sum(1)
            error = error / anchor.square().sum(1).clamp_min(1e-12)
            losses['loss_consistency'] = self.consistency_weight * error.mean()
        return losses

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean, per sample."""
        # B x D, B x D -> B; never 0, where the root has no gradient.
        d = (a - b + 1e-6).square().sum(1).sqrt()
        return d / math.sqrt(a.shape[1]) if self.normalize else d
