# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The part of a classifier that a teacher is a copy of."""

from typing import Optional, Tuple, Union

from torch import Tensor, nn

from mask_plugins.models.heads.masked_feature_head import MaskedFeatureHead


class Network(nn.Module):
    """Images, or the features of a neck, to logits.

    Args:
        head (nn.Module): The head; of a masked-feature head the inner one.
        backbone (nn.Module, optional): None takes features instead of
            images. Defaults to None.
        neck (nn.Module, optional): Defaults to None.

    Examples:
        >>> import torch
        >>> network = Network(nn.Linear(8, 3), backbone=nn.Flatten())
        >>> network(torch.zeros(2, 8, 1, 1)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        head: nn.Module,
        backbone: Optional[nn.Module] = None,
        neck: Optional[nn.Module] = None,
    ) -> None:
        super().__init__()
        if isinstance(head, MaskedFeatureHead):
            head = head.head
        self.backbone = backbone
        self.neck = neck
        self.head = head

    def forward(self, x: Union[Tensor, Tuple[Tensor]]) -> Tensor:
        """Logits, :math:`(N, C)`."""
        if self.backbone is not None:
            x = self.backbone(x)
            if self.neck is not None:
                x = self.neck(x)
        return self.head(x)
