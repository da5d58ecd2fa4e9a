# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A small learned gate for maps of any size."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask_plugins.utils.checks import check_int, check_ratio

from ..patch_difference import map_scale, pool_windows
from ..patch_window import PatchWindow, Window
from .learned import LearnedGate


class PooledDifferenceGate(LearnedGate):
    """Logits from the pooled difference to the reference.

    Per patch: mean and maximum of the absolute change over its window, mean
    magnitude of the input, all relative to the map's own magnitude and as
    logarithms; then a 3x3 depthwise convolution over the grid of patches and
    a small perceptron. A hundred parameters, against millions of the
    original's (about 2.7 M at a 56x56 map of 64 channels), and a fraction of
    the time of the layer that it guards.

    Args:
        channels (int): Of the map.
        hidden (int): Width of the perceptron. Defaults to 16.
        init_skip_ratio (float): Share of patches that an untrained gate
            tends to skip, in (0, 1). Defaults to 0.5.
        **kwargs: Of :class:`LearnedGate`.

    Raises:
        ValueError: If the ratio is not in (0, 1).

    Examples:
        >>> import torch
        >>> gate = PooledDifferenceGate(3).eval()
        >>> x = torch.rand(1, 3, 32, 32)
        >>> gate(x, x).shape, sum(p.numel() for p in gate.parameters())
        (torch.Size([1, 4, 4]), 111)
    """

    #: Keeps the logarithm of no change at all finite.
    FLOOR = 1e-3

    def __init__(
        self,
        channels: int,
        hidden: int = 16,
        init_skip_ratio: float = 0.5,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_ratio('init_skip_ratio', init_skip_ratio, '()')
        self.channels = check_int('channels', channels, 1)
        self.spatial = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.expand = nn.Conv2d(3, check_int('hidden', hidden, 1), 1)
        self.logit = nn.Conv2d(hidden, 1, 1)
        # Starts as a threshold: the logit grows with the mean change.
        nn.init.zeros_(self.spatial.bias)
        with torch.no_grad():
            self.spatial.weight.mul_(0.1)
            self.spatial.weight[:, :, 1, 1] += 1
        nn.init.constant_(self.logit.bias, math.log(1 / init_skip_ratio - 1))
        nn.init.normal_(self.logit.weight, std=0.1)

    def scores(self, x: Tensor, ref: Tensor, window: Window = None) -> Tensor:
        """Logits: see :meth:`Gate.scores`."""
        window = self.window_of(x, window)
        x, ref = x.float(), ref.float()
        size = (x - ref).abs()  # B, C, H, W
        scale = map_scale(x).unsqueeze(1)
        mean = pool_windows(size.mean(1, keepdim=True), window)
        largest = pool_windows(size.amax(1, keepdim=True), window, 'max')
        level = pool_windows(x.abs().mean(1, keepdim=True), window)
        features = torch.cat([mean, largest, level], 1) / scale
        # Decades of change become even steps, from -1 at none.
        floor = -math.log(self.FLOOR)
        features = (features + self.FLOOR).log() / floor
        hidden = F.gelu(self.expand(self.spatial(features)))
        return self.logit(hidden).squeeze(1)

    def macs(self, channels: int, window: PatchWindow) -> int:
        """Three reads per value, and the rest per patch."""
        pixels = window.patches * window.patch[0] * window.patch[1]
        per_patch = 3 * 9 + self.expand.out_channels * (3 + 1)
        return pixels * channels * 3 + window.patches * per_patch
