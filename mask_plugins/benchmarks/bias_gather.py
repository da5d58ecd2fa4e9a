# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the look-up of the selected position bias costs."""

from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask_plugins.core.tokens import (
    gather_position_bias,
    keep_count,
    relative_position_index,
    select_index_pairs,
)
from mask_plugins.utils.timing import Case

from .benchmark import Benchmark
from .statistics import spread, spread_ms

GATHER_DROP = 0.4


class GivenBias(nn.Module):
    """Attention whose position bias is there already, as a parameter.

    Attention then does all it does under a bias (and its gradient), less the
    look-up: the difference of two steps is what the look-up costs.

    Args:
        attn (nn.Module): A :class:`PSSAttention` without a bias of its own.
        batch (int): Images per step.
        tokens (int): Tokens per image.
    """

    def __init__(self, attn: nn.Module, batch: int, tokens: int) -> None:
        super().__init__()
        self.attn = attn
        # heads outermost in memory, as the look-up writes it
        bias = torch.zeros(attn.num_heads, batch, tokens, tokens)
        self.bias = nn.Parameter(bias.transpose(0, 1))

    def forward(self, x: Tensor, *_) -> Tensor:
        """As :class:`PSSAttention`."""
        return self.attn(x, None, self.bias)


def dense_gather(table: Tensor, index: Tensor, kept: Tensor) -> Tensor:
    """The selected bias the obvious way, for comparison.

    The bias of all pairs of tokens, for each image, and then its rows and
    columns: what the look-up by index avoids.

    Args:
        table (Tensor): Bias of each relative position, shape
            :math:`(R, heads)`.
        index (Tensor): Relative position of each pair of tokens, shape
            :math:`(N, N)`.
        kept (Tensor): Tokens kept of each image, shape :math:`(B, n)`.

    Returns:
        Tensor: Shape :math:`(B, heads, n, n)`.

    Examples:
        >>> table, index = torch.rand(12, 2), relative_position_index((2, 2))
        >>> dense_gather(table, index, torch.tensor([[0, 3]])).shape
        torch.Size([1, 2, 2, 2])
    """
    batch, n = kept.shape
    bias = table[index].permute(2, 0, 1)[None].repeat(batch, 1, 1, 1)
    _, heads, tokens, _ = bias.shape
    rows = kept[:, None, :, None].expand(-1, heads, -1, tokens)
    columns = kept[:, None, None, :].expand(-1, heads, n, -1)
    return bias.gather(2, rows).gather(3, columns)


def measure_bias_gather(benchmark: Benchmark) -> Tuple[dict, List[dict]]:
    """The share of the look-up in a step at ViT-B width, and it alone.

    Args:
        benchmark (PSSBenchmark): Builds the models, times them, and says
            with how many images, blocks, and at which drop ratios.

    Returns:
        tuple: A dict for the steps, and a row per ratio and method for the
        look-up alone.
    """
    gather = _measure_steps(benchmark)
    lookup = _measure_lookup(benchmark)
    # The difference of two steps is noisy where the share is small; the
    # look-up alone, times the blocks, is not.
    (alone,) = [
        row['ms']['median']
        for row in lookup
        if row['method'] == 'index_first' and row['drop_ratio'] == GATHER_DROP
    ]
    step = gather['ms']['gathered']['median']
    gather['share_of_lookups'] = gather['layers'] * alone / step
    return gather, lookup


def _measure_steps(benchmark: Benchmark) -> dict:
    """The step at ViT-B width with and without the look-up."""
    builder, batch_size = benchmark.builder, benchmark.gather_batch_size
    tokens = keep_count(builder.tokens, GATHER_DROP)
    arch = builder.arch('base', benchmark.gather_layers)
    models = dict(
        gathered=builder.pss(arch),
        given=builder.pss(arch, use_rel_pos_bias=False),
        none=builder.pss(arch, use_rel_pos_bias=False),
    )
    for layer in models['given'].layers:
        layer.attn = GivenBias(layer.attn, batch_size, tokens)
    cases = {}
    for name, model in models.items():
        built = builder.cases(builder.finish(model), batch_size, GATHER_DROP)
        cases[name] = built['train']
    times = benchmark.time('bias look-up', cases)
    whole = times['gathered']
    return dict(
        batch_size=batch_size,
        drop_ratio=GATHER_DROP,
        tokens=tokens,
        layers=arch['num_layers'],
        ms={name: spread_ms(seconds) for name, seconds in times.items()},
        share=spread((whole - times['given']) / whole),
        share_of_all_bias=spread((whole - times['none']) / whole),
    )


def _measure_lookup(benchmark: Benchmark) -> List[dict]:
    """The look-up of one block alone, forward and backward."""
    heads, batch_size = 12, benchmark.gather_batch_size
    builder, device = benchmark.builder, benchmark.device
    index = relative_position_index((builder.side, builder.side)).to(device)
    table = torch.zeros(int(index.max()) + 1, heads, device=device)
    table.requires_grad_()

    def ours(kept: Tensor) -> Tensor:
        return gather_position_bias(table, select_index_pairs(index, kept))

    def dense(kept: Tensor) -> Tensor:
        return dense_gather(table, index, kept)

    cases, counts = {}, {}
    for ratio in sorted({GATHER_DROP, *benchmark.drop_ratios[1:]}):
        n = counts[ratio] = keep_count(builder.tokens, ratio)
        kept = torch.rand(batch_size, builder.tokens - 1, device=device)
        kept = F.pad(kept.argsort(1)[:, : n - 1] + 1, (1, 0))
        grad = torch.ones(batch_size, heads, n, n, device=device)
        for name, look_up in (('index_first', ours), ('dense_first', dense)):

            def step(look_up=look_up, kept=kept, grad=grad) -> None:
                table.grad = None
                look_up(kept).backward(grad)

            cases[ratio, name] = Case(step)
    times = benchmark.time('look-up alone', cases)
    return [
        dict(
            drop_ratio=ratio,
            tokens=counts[ratio],
            method=method,
            ms=spread_ms(seconds),
        )
        for (ratio, method), seconds in times.items()
    ]
