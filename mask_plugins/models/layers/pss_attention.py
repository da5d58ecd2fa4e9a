# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Self-attention over sampled tokens."""

from typing import Optional

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import BEiTAttention
from torch import Tensor, nn

from mask_plugins.core.tokens import gather_position_bias


class PSSAttention(BEiTAttention):
    """BEiT's attention, with the position bias of the tokens that are there.

    The index of relative positions belongs to the backbone, which selects its
    rows once per forward; here is only the look-up in this block's table.

    Args:
        fused (bool): Use ``scaled_dot_product_attention`` with the bias as
            its mask; False is the arithmetic of ``BEiTAttention``, to the
            bit. Defaults to True.
        *args, **kwargs: See ``mmpretrain.models.utils.BEiTAttention``.

    Examples:
        >>> attn = PSSAttention(embed_dims=8, num_heads=2, window_size=(2, 2),
        ...                     use_rel_pos_bias=False)
        >>> attn(torch.rand(1, 3, 8)).shape  # any number of tokens
        torch.Size([1, 3, 8])
    """

    def __init__(self, *args, fused: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.embed_dims % self.num_heads:
            raise ValueError(
                'embed_dims must be a multiple of num_heads, got '
                f'{self.embed_dims} and {self.num_heads}'
            )
        self.fused = fused
        if self.use_rel_pos_bias:
            del self.relative_position_index

    def init_weights(self) -> None:
        """Tables start at zero, unlike the parent's."""
        super().init_weights()
        if self.use_rel_pos_bias:
            nn.init.zeros_(self.relative_position_bias_table)

    def forward(
        self,
        x: Tensor,
        position_index: Optional[Tensor] = None,
        rel_pos_bias: Optional[Tensor] = None,
    ) -> Tensor:
        """Attend.

        Args:
            x (Tensor): :math:`(B, n, C)`.
            position_index (Tensor, optional): Rows of this block's table,
                :math:`(N, N)` or :math:`(B, n, n)`.
            rel_pos_bias (Tensor, optional): A bias shared by all blocks,
                :math:`(1, H, N, N)` or :math:`(B, H, n, n)`.

        Returns:
            Tensor: :math:`(B, n, C)`.
        """
        qkv_bias = None
        if self.bias == 'qv_bias':
            # A bias of the keys would shift all logits of a query alike,
            # which softmax cancels.
            zeros = torch.zeros_like(self.v_bias, requires_grad=False)
            qkv_bias = torch.cat((self.q_bias, zeros, self.v_bias))
        elif self.qkv.bias is not None:
            qkv_bias = self.qkv.bias
        qkv = F.linear(x, self.qkv.weight, qkv_bias)
        qkv = qkv.unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # B, H, n, C/H each

        bias = rel_pos_bias
        if self.use_rel_pos_bias:
            bias = gather_position_bias(
                self.relative_position_bias_table, position_index
            )
        if self.fused:
            bias = None if bias is None else bias.to(q.dtype)
            drop = self.attn_drop.p if self.training else 0.0
            x = F.scaled_dot_product_attention(
                q, k, v, bias, drop, scale=self.scale
            )
        else:
            attn = (q * self.scale) @ k.transpose(-2, -1)
            if bias is not None:
                attn = attn + bias
            x = self.attn_drop(attn.softmax(dim=-1)) @ v
        x = x.transpose(1, 2).flatten(2)
        return self.proj_drop(self.proj(x))
