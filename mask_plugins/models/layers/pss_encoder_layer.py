# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One block of the sampling vision transformer."""

import math
from typing import Optional

from mmpretrain.models.backbones.beit import BEiTTransformerEncoderLayer
from torch import Tensor, nn

from .pss_attention import PSSAttention


class PSSEncoderLayer(BEiTTransformerEncoderLayer):
    """BEiT's block over sampled tokens.

    Two defects of the parent in mmpretrain 1.2 are fixed: it applies
    stochastic depth twice to the FFN branch, and its attention swallows the
    dropout rates. As in the original of PSS, dropout follows the second
    linear layer of the FFN only.

    Args:
        fused_attn (bool): See :class:`PSSAttention`. Defaults to True.
        attn_drop_rate (float): Dropout of attention weights. Defaults to 0.
        drop_rate (float): Dropout after the projections. Defaults to 0.
        **kwargs: See ``BEiTTransformerEncoderLayer``.

    Examples:
        >>> import torch
        >>> block = PSSEncoderLayer(embed_dims=8, num_heads=2,
        ...     feedforward_channels=16, window_size=(2, 2),
        ...     use_rel_pos_bias=False, layer_scale_init_value=0.1)
        >>> block(torch.rand(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        fused_attn: bool = True,
        attn_drop_rate: float = 0.0,
        drop_rate: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(drop_rate=drop_rate, **kwargs)
        same = ('embed_dims', 'num_heads', 'window_size', 'use_rel_pos_bias')
        self.attn = PSSAttention(
            **{key: kwargs[key] for key in same},
            bias='qv_bias',
            attn_drop_rate=attn_drop_rate,
            proj_drop_rate=drop_rate,
            fused=fused_attn,
        )
        self.ffn.dropout_layer = nn.Identity()
        self.ffn.layers[0][2] = nn.Identity()

    def rescale_residual(self, depth: int) -> None:
        """Divide the last weights of both branches by sqrt(2 depth).

        Args:
            depth (int): Number of this block, from 1.
        """
        for linear in (self.attn.proj, self.ffn.layers[1]):
            linear.weight.data.div_(math.sqrt(2.0 * depth))

    def forward(
        self,
        x: Tensor,
        position_index: Optional[Tensor] = None,
        rel_pos_bias: Optional[Tensor] = None,
    ) -> Tensor:
        """Run the block.

        Args:
            x (Tensor): :math:`(B, n, C)`.
            position_index (Tensor, optional): See :class:`PSSAttention`.
            rel_pos_bias (Tensor, optional): See :class:`PSSAttention`.

        Returns:
            Tensor: :math:`(B, n, C)`.
        """
        branch = self.attn(self.ln1(x), position_index, rel_pos_bias)
        if self.gamma_1 is not None:
            branch = self.gamma_1 * branch
        x = x + self.drop_path(branch)
        branch = self.ffn(self.ln2(x))
        if self.gamma_2 is not None:
            branch = self.gamma_2 * branch
        return x + self.drop_path(branch)
