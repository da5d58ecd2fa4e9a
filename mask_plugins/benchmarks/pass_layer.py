# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What skipping patches gains in one convolution."""

import copy
import itertools
from typing import Callable, Dict, List, Sequence

import torch
from torch import nn

from mask_plugins.analysis.streams.gated_stream import GatedStream
from mask_plugins.core.patches import RandomGate, gate_module
from mask_plugins.utils.timing import Case, time_interleaved

from .statistics import spread, spread_ms

#: Speed-ups to be reached at skip ratios.
LAYER_LIMITS = {0.0: 0.95, 0.5: 1.2, 0.7: 1.8, 0.9: 3.0}
#: Of the frontier: comparing 16 channels is as exact as comparing all.
GATE = dict(type='threshold', sample_channels=16)


def measure_layer(
    rounds: int, seed: int, clock: str, log: Callable[[str], None]
) -> List[dict]:
    """A 3x3 convolution, 64 channels, 56x56, through its gated layer.

    The gate draws at random, so that the share is set; the share at
    which nothing is skipped is the threshold gate's on a new frame.

    Args:
        rounds (int): Measurements of each case.
        seed (int): Of the maps, the weights and the gates.
        clock (str): See :func:`time_interleaved`.
        log (Callable): Where progress goes.

    Returns:
        list[dict]: By skip ratio: ``skip``, ``ms``, ``dense_ms`` and
        ``speed_up`` with their spreads.
    """
    torch.manual_seed(seed)
    x = torch.randn(1, 64, 56, 56)
    last = dict(memory_format=torch.channels_last)
    frames = [(x + i * torch.randn_like(x)).contiguous(**last) for i in (0, 1)]
    conv = nn.Conv2d(64, 64, 3, padding=1).eval().to(**last)
    cases: Dict = dict(dense=Case(_loop(conv, frames)))
    for skip in LAYER_LIMITS:
        gated = nn.Sequential(copy.deepcopy(conv)).eval()
        gate = 'threshold'
        if skip:
            gate = RandomGate(skip, seed=seed, patch_size=8)
            # What the gate of the frontier keeps, and has to update.
            gate.sample_channels = GATE['sample_channels']
        gate_module(gated[0], gate)
        stream = GatedStream(gated, scene_cut=0.0)
        stream(frames[0])
        cases[skip] = Case(_loop(stream, frames))
    log(f'layer: {len(cases)} cases, interleaved')
    times = time_interleaved(cases, rounds, iters=20, warmup=3, clock=clock)
    return [
        dict(
            skip=skip,
            ms=spread_ms(times[skip]),
            dense_ms=spread_ms(times['dense']),
            speed_up=spread(times['dense'] / times[skip]),
        )
        for skip in LAYER_LIMITS
    ]


def _loop(step: Callable, frames: Sequence[torch.Tensor]) -> Callable:
    """Calls that see the frames in turn."""
    turns = itertools.cycle(frames[1:] + frames[:1])
    return torch.no_grad()(lambda: step(next(turns)))
