# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What skipping patches gains in one convolution."""

import copy
import itertools
from typing import Callable, Dict, List, Sequence

import torch
from torch import nn

from mask_plugins.analysis.streams.gated_stream import GatedStream
from mask_plugins.core.patches import RandomGate, gate_module
from mask_plugins.core.patches.mkldnn_conv import pack_weight, packed_conv2d
from mask_plugins.native import library
from mask_plugins.utils.timing import Case, time_interleaved

from .statistics import spread, spread_ms
from .weight_mask_steps import torch_only

#: Channels, side of the map and of a patch -> speed-ups to be reached at
#: skip ratios.
LAYER_LIMITS = {
    (64, 56, 8): {0.0: 0.98, 0.5: 1.4, 0.7: 2.0, 0.9: 4.0},
    (256, 32, 2): {0.5: 1.5, 0.9: 4.0},
    (512, 16, 2): {0.5: 1.5, 0.9: 4.0},
}
#: What computes patches; kernels are those that run here.
PATHS = ('kernels', 'torch')
#: Of the frontier: comparing 16 channels is as exact as comparing all.
GATE = dict(type='threshold', sample_channels=16)


def measure_layer(
    rounds: int,
    seed: int,
    clock: str,
    log: Callable[[str], None],
    dtype: torch.dtype = torch.float32,
) -> List[dict]:
    """3x3 convolutions through their gated layers, by both paths.

    The gate draws at random, so that the share is set; the share at
    which nothing is skipped is the threshold gate's on a new frame. All are
    compared with the dense convolution whose weight is packed for its map.

    Args:
        rounds (int): Measurements of each case.
        seed (int): Of the maps, the weights and the gates.
        clock (str): See :func:`time_interleaved`.
        log (Callable): Where progress goes.
        dtype (torch.dtype): Of the maps and the weights, those of the dense
            convolution too; packed in float32 only. Defaults to float32.

    Returns:
        list[dict]: By layer, path and skip ratio: ``channels``, ``side``,
        ``patch``, ``path``, ``skip``, ``ms``, ``dense_ms`` and ``speed_up``
        with their spreads.
    """
    paths = [path for path in PATHS if path == 'torch' or library()]
    found = []
    for (channels, side, patch), limits in LAYER_LIMITS.items():
        torch.manual_seed(seed)
        x = torch.randn(1, channels, side, side).to(dtype)
        last = dict(memory_format=torch.channels_last)
        frames = [
            (x + i * torch.randn_like(x)).contiguous(**last) for i in (0, 1)
        ]
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        conv = conv.eval().to(dtype, **last)
        cases: Dict = dict(dense=Case(_loop(_packed(conv, x), frames)))
        for skip, path in itertools.product(limits, paths):
            stream = _gated(copy.deepcopy(conv), skip, patch, seed)
            case = Case(_loop(stream, frames))
            case = torch_only(case) if path == 'torch' else case
            case.step()
            cases[skip, path] = case
        name = f'{channels} channels, {side}x{side}, patch {patch}'
        log(f'layer of {name}: {len(cases)} cases, interleaved')
        times = time_interleaved(
            cases, rounds, iters=20, warmup=3, clock=clock
        )
        found += [
            dict(
                **dict(channels=channels, side=side, patch=patch),
                **dict(path=path, skip=skip),
                ms=spread_ms(times[skip, path]),
                dense_ms=spread_ms(times['dense']),
                speed_up=spread(times['dense'] / times[skip, path]),
            )
            for path, skip in itertools.product(paths, limits)
        ]
    return found


def _gated(conv: nn.Module, skip: float, patch: int, seed: int) -> GatedStream:
    """A stream through one gated layer."""
    gated = nn.Sequential(conv).eval()
    gate = dict(type='threshold', patch_size=patch)
    if skip:
        gate = RandomGate(skip, seed=seed, patch_size=patch)
        # What the gate of the frontier keeps, and has to update.
        gate.sample_channels = GATE['sample_channels']
    gate_module(gated[0], gate)
    # Else a tenth would be computed on top of the share that is set.
    return GatedStream(gated, scene_cut=0.0, refresh_every=0)


def _packed(conv: nn.Conv2d, x: torch.Tensor) -> Callable:
    """The dense convolution, its weight packed for this map."""
    packed = pack_weight(conv, conv.weight.detach(), tuple(x.shape))
    if packed is None:
        return conv
    bias = conv.bias.detach()
    return lambda frame: packed_conv2d(frame, conv, packed, bias, conv.padding)


def _loop(step: Callable, frames: Sequence[torch.Tensor]) -> Callable:
    """Calls that see the frames in turn."""
    turns = itertools.cycle(frames[1:] + frames[:1])
    return torch.no_grad()(lambda: step(next(turns)))
