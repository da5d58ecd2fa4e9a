# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Predict the prototype of a crop from another crop of the image (SwAV)."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_number


@MODELS.register_module()
class SwAVLoss(BaseModule):
    r"""Cross entropy between assignments and predictions of other crops.

    Equation 2 of SwAV (Caron et al., NeurIPS 2020,
    https://arxiv.org/abs/2006.09882), over several crops: the assignment of
    each of the first crops is predicted from every other crop, and all pairs
    have equal weight.

    Args:
        temperature (float): Of the prediction, above 0. Defaults to 0.1.

    Raises:
        TypeError, ValueError: If ``temperature`` is not above 0.

    Examples:
        >>> import torch
        >>> scores = torch.zeros(4, 2, 5)  # 4 crops of 2 images
        >>> assignments = torch.full((2, 2, 5), 1 / 5)  # of the first 2 crops
        >>> loss = SwAVLoss()(scores, assignments, [0, 1])
        >>> bool(loss.isclose(torch.tensor(5.0).log()))
        True
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = check_number(
            'temperature', temperature, 0, ends='()'
        )

    def forward(
        self, scores: Tensor, assignments: Tensor, crops: list
    ) -> Tensor:
        """The loss of a batch.

        Args:
            scores (Tensor): Similarities of each crop with the prototypes,
                :math:`(V, B, K)`.
            assignments (Tensor): Targets of those crops that are assigned,
                :math:`(A, B, K)`.
            crops (list[int]): Which crops these are.
        """
        log_p = F.log_softmax(scores / self.temperature, dim=-1)  # VxBxK
        others = log_p.sum(dim=0) - log_p[crops]  # AxBxK
        pairs = len(log_p) - 1
        return -(assignments * others).sum(dim=-1).mean() / pairs
