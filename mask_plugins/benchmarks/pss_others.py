# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Other ways to train a ViT on fewer tokens, to compare patch sampling with.

Each is a backbone with a ``drop_ratio`` and an ``embed_dims``.
"""

from typing import Any, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from mask_plugins.core.tokens import gather_position_bias, gather_tokens
from mask_plugins.models.backbones import PSSVisionTransformer

from .bias_gather import dense_gather

OTHERS = ('original', 'patch_dropout', 'tome')


class DenseBias(nn.Module):
    """Attention as the original has it: each block selects a dense bias.

    The softmax is written out, and the bias of all pairs of tokens is looked
    up for each image before that of the kept tokens is taken.

    Args:
        attn (PSSAttention): With a bias of its own; changed.
        backbone (PSSVisionTransformer): Says which tokens are kept.
    """

    def __init__(self, attn: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        attn.use_rel_pos_bias = attn.fused = False
        self.attn, self._backbone = attn, (backbone,)

    def forward(self, x: Tensor, *_) -> Tensor:
        """As :class:`PSSAttention`."""
        table = self.attn.relative_position_bias_table
        (backbone,) = self._backbone
        index, kept = backbone.position_index, backbone._kept
        if kept is None:
            bias = gather_position_bias(table, index)
        else:
            bias = dense_gather(table, index, kept)
        return self.attn(x, None, bias)


def original_form(backbone: PSSVisionTransformer) -> nn.Module:
    """The backbone, changed in place to the original's attention."""
    for layer in backbone.layers:
        layer.attn = DenseBias(layer.attn, backbone)
    return backbone


class PatchDropoutViT(nn.Module):
    """timm's ViT with its ``PatchDropout``, which acts in training only.

    Args:
        arch (dict): Settings of a size.
        image_size (int): Pixels.
        patch_size (int): Pixels.
    """

    def __init__(self, arch: dict, image_size: int, patch_size: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        self.embed_dims = arch['embed_dims']
        self.vit = VisionTransformer(
            image_size,
            patch_size,
            embed_dim=self.embed_dims,
            depth=arch['num_layers'],
            num_heads=arch['num_heads'],
            mlp_ratio=arch['feedforward_channels'] / self.embed_dims,
            num_classes=0,
            patch_drop_rate=0.5,
        )

    @property
    def drop_ratio(self) -> float:
        """Share of the patches that is dropped."""
        return self.vit.patch_drop.prob

    @drop_ratio.setter
    def drop_ratio(self, value: float) -> None:
        self.vit.patch_drop.prob = value

    def forward(self, images: Tensor) -> Tuple[Tensor]:
        """Features of the class token."""
        return (self.vit(images),)


def merge_tokens(
    x: Tensor, size: Tensor, metric: Tensor, count: int
) -> Tuple[Tensor, Tensor]:
    """Merge the most alike pairs of an even and an odd token.

    Bipartite soft matching (Bolya et al., arXiv:2210.09461): a token at an
    even place may go into the odd one that it is most alike to, by the cosine
    of ``metric``. The first token, the class token, stays.

    Args:
        x (Tensor): Tokens, :math:`(B, N, C)`.
        size (Tensor): Patches in each token, :math:`(B, N, 1)`.
        metric (Tensor): What is compared, :math:`(B, N, K)`.
        count (int): Tokens fewer; at most all even ones but the first.

    Returns:
        tuple[Tensor, Tensor]: Tokens, the mean of their patches,
        :math:`(B, N - count, C)`, and their sizes.

    Examples:
        >>> x = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]]])
        >>> merged, size = merge_tokens(x, torch.ones(1, 3, 1), x, 1)
        >>> merged.tolist(), size.flatten().tolist()
        ([[[1.0, 0.0], [0.0, 2.0]]], [1.0, 2.0])
    """
    metric = F.normalize(metric, dim=-1)
    alike = metric[:, ::2] @ metric[:, 1::2].transpose(1, 2)
    best, into = alike.max(dim=-1)  # B, even
    best = best.float().index_fill(1, into.new_zeros(1), -torch.inf)
    order = best.argsort(dim=1, descending=True)
    gone, stay = order[:, :count], order[:, count:].sort(dim=1).values
    into = into.gather(1, gone)[..., None]
    parts = []
    for part in (x * size, size):
        even, odd = part[:, ::2], part[:, 1::2]
        moved = gather_tokens(even, gone)
        odd = odd.scatter_add(1, into.expand_as(moved), moved)
        parts.append(torch.cat((gather_tokens(even, stay), odd), dim=1))
    return parts[0] / parts[1], parts[1]


class MergedLayer(nn.Module):
    """A block of mmpretrain's ViT that merges tokens after its attention.

    Args:
        layer (nn.Module): The block.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.count = layer, 0

    def forward(self, x: Tensor, size: Tensor) -> Tuple[Tensor, Tensor]:
        """One block; ``size`` as in :func:`merge_tokens`."""
        layer, attn = self.layer, self.layer.attn
        batch, tokens, width = x.shape
        qkv = attn.qkv(layer.ln1(x))
        qkv = qkv.reshape(batch, tokens, 3, attn.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # A token counts as often as it has patches.
        bias = size.log().to(q.dtype).transpose(1, 2)[:, None]
        out = F.scaled_dot_product_attention(q, k, v, bias)
        x = x + attn.proj(out.transpose(1, 2).reshape(batch, tokens, width))
        count = min(self.count, (tokens + 1) // 2 - 1)
        if count > 0:
            x, size = merge_tokens(x, size, k.mean(dim=1), count)
        return layer.ffn(layer.ln2(x), identity=x), size


class TokenMergingViT(VisionTransformer):
    """A stock ViT with token merging (ToMe).

    Each block merges equally many tokens, so that as many are left after the
    last one as the drop ratio says; the blocks before have more.

    Args:
        *args: See mmpretrain's ``VisionTransformer``.
        **kwargs: The same.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        layers = [MergedLayer(layer) for layer in self.layers]
        self.layers = nn.ModuleList(layers)
        self._drop_ratio = 0.0

    @property
    def drop_ratio(self) -> float:
        """Share of the tokens that is merged away."""
        return self._drop_ratio

    @drop_ratio.setter
    def drop_ratio(self, value: float) -> None:
        self._drop_ratio = value
        rows, columns = self.patch_resolution
        tokens = rows * columns + self.num_extra_tokens
        for layer in self.layers:
            layer.count = round(value * tokens / len(self.layers))

    def forward(self, images: Tensor) -> Tuple[Tensor]:
        """The mean of the tokens that are left."""
        x, _ = self.patch_embed(images)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        x = self.drop_after_pos(x + self.pos_embed)
        size = x.new_ones(*x.shape[:2], 1)
        for layer in self.layers:
            x, size = layer(x, size)
        return (self.ln1(x)[:, 1:].mean(dim=1),)
