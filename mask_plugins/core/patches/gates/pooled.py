# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A small learned gate for maps of any size."""

import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..patch_difference import map_scale, pool_windows
from ..window import PatchWindow
from .learned import LearnedGate


class PooledDifferenceGate(LearnedGate):
    """Logits from the pooled difference to the reference.

    Per patch: mean and maximum of the absolute change over its window, mean
    magnitude of the input, all relative to the map's own magnitude and as
    logarithms, and a few learned projections of the change; then a 3x3
    depthwise convolution over the grid of patches and a small perceptron. A
    few hundred parameters, against millions of the original's (about 2.7 M at
    a 56x56 map of 64 channels), and a fraction of the time of the layer that
    it guards.

    Args:
        channels (int): Of the map.
        projections (int): Learned projections of the change; 0 spares a 1x1
            convolution. Defaults to 0.
        hidden (int): Width of the perceptron. Defaults to 16.
        init_skip_ratio (float): Share of patches that an untrained gate
            tends to skip, in (0, 1). Defaults to 0.5.
        **kwargs: Of :class:`LearnedGate`.

    Raises:
        ValueError: If the ratio is not in (0, 1).
    """

    #: Keeps the logarithm of no change at all finite.
    FLOOR = 1e-3

    def __init__(
        self,
        channels: int,
        projections: int = 0,
        hidden: int = 16,
        init_skip_ratio: float = 0.5,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < init_skip_ratio < 1:
            raise ValueError(
                f'init_skip_ratio must be in (0, 1), got {init_skip_ratio!r}'
            )
        features = 3 + projections
        self.channels = channels
        self.project = (
            nn.Conv2d(channels, projections, 1, bias=False)
            if projections
            else None
        )
        self.spatial = nn.Conv2d(
            features, features, 3, padding=1, groups=features
        )
        self.expand = nn.Conv2d(features, hidden, 1)
        self.logit = nn.Conv2d(hidden, 1, 1)
        # Starts as a threshold: the logit grows with the mean change.
        nn.init.zeros_(self.spatial.bias)
        with torch.no_grad():
            self.spatial.weight.mul_(0.1)
            self.spatial.weight[:, :, 1, 1] += 1
        nn.init.constant_(self.logit.bias, math.log(1 / init_skip_ratio - 1))
        nn.init.normal_(self.logit.weight, std=0.1)

    def scores(
        self, x: Tensor, ref: Tensor, window: Optional[PatchWindow] = None
    ) -> Tensor:
        """Logits: see :meth:`Gate.scores`."""
        window = window or self.window_of(x)
        x, ref = x.float(), ref.float()
        change = x - ref
        size = change.abs()
        scale = map_scale(x).unsqueeze(1)
        mean = pool_windows(size.mean(1, keepdim=True), window)
        largest = pool_windows(size.amax(1, keepdim=True), window, 'max')
        level = pool_windows(x.abs().mean(1, keepdim=True), window)
        features = torch.cat([mean, largest, level], 1) / scale
        # Decades of change become even steps, from -1 at none.
        floor = -math.log(self.FLOOR)
        features = (features + self.FLOOR).log() / floor
        if self.project is not None:
            pooled = pool_windows(self.project(change), window)
            features = torch.cat([features, pooled / scale], 1)
        hidden = F.gelu(self.expand(self.spatial(features)))
        return self.logit(hidden).squeeze(1)

    def macs(self, channels: int, window: PatchWindow) -> int:
        """Three reads and the projections per value; the rest per patch."""
        patches = window.grid[0] * window.grid[1]
        pixels = patches * window.patch[0] * window.patch[1]
        width = self.spatial.in_channels
        per_pixel = channels * (3 + (width - 3))
        per_patch = width * 9 + self.expand.out_channels * (width + 1)
        return pixels * per_pixel + patches * per_patch
