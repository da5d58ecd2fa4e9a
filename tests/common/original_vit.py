# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A ViT with the names of timm and BEiT, and SimMIM around it.

Apart from our backbone: its forward is what converted weights reproduce.
"""

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, DEPTH, HEADS, SIZE, PATCH, CLASSES = 128, 2, 2, 16, 4, 5
GRID = SIZE // PATCH
DISTANCES = (2 * GRID - 1) ** 2 + 3


def position_index():
    """BEiT's rows of the table, pair by pair."""
    index = torch.empty(GRID**2 + 1, GRID**2 + 1, dtype=torch.long)
    index[0, :] = DISTANCES - 3
    index[:, 0] = DISTANCES - 2
    index[0, 0] = DISTANCES - 1
    for q in range(GRID**2):
        for k in range(GRID**2):
            dy, dx = q // GRID - k // GRID, q % GRID - k % GRID
            row = (dy + GRID - 1) * (2 * GRID - 1) + dx + GRID - 1
            index[q + 1, k + 1] = row
    return index


class Attention(nn.Module):
    def __init__(self, style, rel_pos):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=style == 'timm')
        self.proj = nn.Linear(WIDTH, WIDTH)
        if style == 'beit':
            self.q_bias = nn.Parameter(torch.zeros(WIDTH))
            self.v_bias = nn.Parameter(torch.zeros(WIDTH))
        if rel_pos:
            self.relative_position_bias_table = nn.Parameter(
                torch.zeros(DISTANCES, HEADS)
            )
            self.register_buffer('relative_position_index', position_index())

    def forward(self, x, bias):
        qkv = F.linear(x, self.qkv.weight, self.qkv.bias)
        if hasattr(self, 'q_bias'):
            zeros = torch.zeros_like(self.v_bias)
            qkv = qkv + torch.cat((self.q_bias, zeros, self.v_bias))
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in qkv.chunk(3, dim=-1)
        )
        logits = q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5
        if hasattr(self, 'relative_position_bias_table'):
            table = self.relative_position_bias_table
            bias = table[self.relative_position_index].permute(2, 0, 1)
        if bias is not None:
            logits = logits + bias
        x = (logits.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.proj(x)


class Block(nn.Module):
    def __init__(self, style, rel_pos, layer_scale):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn = Attention(style, rel_pos)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.mlp.fc2 = nn.Linear(4 * WIDTH, WIDTH)
        if layer_scale:
            self.gamma_1 = nn.Parameter(torch.ones(WIDTH))
            self.gamma_2 = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x, bias):
        branch = self.attn(self.norm1(x), bias)
        x = x + getattr(self, 'gamma_1', 1) * branch
        branch = self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))
        return x + getattr(self, 'gamma_2', 1) * branch


class OriginalViT(nn.Module):
    """A ViT with the originals' names."""

    def __init__(
        self,
        style='beit',
        rel_pos=True,
        shared=False,
        abs_pos=False,
        mean=True,
        layer_scale=True,
        head=True,
    ):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = None
        if abs_pos:
            self.pos_embed = nn.Parameter(torch.zeros(1, GRID**2 + 1, WIDTH))
        if shared:
            self.rel_pos_bias = nn.Module()
            self.rel_pos_bias.relative_position_bias_table = nn.Parameter(
                torch.zeros(DISTANCES, HEADS)
            )
            self.rel_pos_bias.register_buffer(
                'relative_position_index', position_index()
            )
        self.blocks = nn.ModuleList(
            Block(style, rel_pos, layer_scale) for _ in range(DEPTH)
        )
        norm = nn.LayerNorm(WIDTH, eps=1e-6)
        if mean:
            self.fc_norm = norm
        else:
            self.norm = norm
        self.head = nn.Linear(WIDTH, CLASSES) if head else nn.Identity()

    def tokens(self, images):
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        bias = None
        if hasattr(self, 'rel_pos_bias'):
            shared = self.rel_pos_bias
            table = shared.relative_position_bias_table
            bias = table[shared.relative_position_index].permute(2, 0, 1)
        for block in self.blocks:
            x = block(x, bias)
        return x

    def features(self, images):
        x = self.tokens(images)
        if hasattr(self, 'fc_norm'):
            return self.fc_norm(x[:, 1:].mean(1))
        return self.norm(x)[:, 0]

    def forward(self, images):
        return self.head(self.features(images))


class OriginalPretraining(nn.Module):
    """SimMIM around an encoder."""

    def __init__(self):
        super().__init__()
        self.encoder = OriginalViT(
            rel_pos=False, shared=True, mean=False, head=False
        )
        self.encoder.mask_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.decoder = nn.Sequential(
            nn.Conv2d(WIDTH, PATCH**2 * 3, 1), nn.PixelShuffle(PATCH)
        )


def randomized(model):
    """Weights under which every parameter matters."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * 0.2)
    return model.eval()


def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, SIZE, SIZE, generator=generator)
