# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Count the operations of a forward pass."""

from contextlib import nullcontext
from typing import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_gflops(forward: Callable, *args, **kwargs) -> float:
    """Billions of multiply-adds of ``forward(*args, **kwargs)``.

    Matrix products and convolutions are counted where they are executed, so
    that what is skipped is not counted. As in fvcore, and so in the numbers
    that papers report for vision transformers as FLOPs (4.6 for DeiT-S), a
    multiplication with its addition is one operation.

    Args:
        forward (Callable): Called once, without gradients.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Examples:
        >>> count_gflops(torch.nn.Linear(1000, 1000), torch.zeros(1000, 1000))
        1.0
    """
    # The fused CPU kernel has no formula and would count as nothing.
    with torch.no_grad(), _plain_attention():
        with FlopCounterMode(display=False) as counter:
            forward(*args, **kwargs)
    return counter.get_total_flops() / 2e9


def _plain_attention():
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # torch < 2.3
        return nullcontext()
    return sdpa_kernel(SDPBackend.MATH)
