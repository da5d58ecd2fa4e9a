# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A learned score."""

from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.utils.checks import check_size


class TokenGate(nn.Module):
    """Score tokens by a small network that learns from the task's loss.

    The selection has no gradient, so the gate learns through the tokens that
    are kept: each is multiplied by g / stop_gradient(g), with g the sigmoid of
    its score. The factor is exactly 1, so the forward pass is unchanged, and
    its derivative is the first-order effect of the token on the loss: scores
    of tokens that the loss wants more of go up. The original names this score
    but never builds its network.

    Args:
        embed_dims (int): Width C of a token.
        hidden_dims (int, optional): Width of the hidden layer.
            Defaults to C / 4.

    Examples:
        >>> scores, factor = TokenGate(8)(torch.rand(2, 5, 8))
        >>> scores.shape, bool((factor == 1).all())
        (torch.Size([2, 5]), True)
    """

    def __init__(
        self, embed_dims: int, hidden_dims: Optional[int] = None
    ) -> None:
        super().__init__()
        check_size('embed_dims', embed_dims)
        check_size('hidden_dims', hidden_dims, optional=True)
        hidden_dims = hidden_dims or max(embed_dims // 4, 1)
        self.norm = nn.LayerNorm(embed_dims)
        self.fc1 = nn.Linear(embed_dims, hidden_dims)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dims, 1)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Score patch tokens.

        Args:
            x (Tensor): Patch tokens, :math:`(B, P, C)`. The gate reads them
                detached: it must not shape the embedding to please itself.

        Returns:
            tuple[Tensor, Tensor]: Scores :math:`(B, P)` and the factor of
            each token, all ones with the gate's gradient, :math:`(B, P)`.
        """
        hidden = self.act(self.fc1(self.norm(x.detach())))
        scores = self.fc2(hidden).squeeze(-1).float()  # B, P
        gate = torch.sigmoid(scores)
        # The floor keeps 0 / 0 away where a sigmoid underflows.
        gate = gate.clamp_min(torch.finfo(gate.dtype).tiny)
        return scores, gate / gate.detach()
