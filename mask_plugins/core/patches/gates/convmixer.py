# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The gate of the original, for studies of it."""

import torch
from torch import Tensor, nn

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_int

from ..patch_window import PatchWindow, Window
from .learned import LearnedGate


class ConvMixerGate(LearnedGate):
    """Logits of a ConvMixer over both frames, pooled over the whole map.

    The architecture of the PASS code: patch embedding, mixer blocks, global
    average pooling, fully connected layers to one logit per patch. Its
    normalization, by minimum and maximum over the batch, made a decision
    depend on the other samples, skipped something of a new scene, computed
    something of a still one, and was NaN for equal logits; here a logit goes
    through a sigmoid alone. What the pooling costs, the place of a change and
    the freedom of resolution, is the architecture's own.

    Args:
        channels (int): Of the map of one frame.
        patch_num (int): Patches of the map, on which the last layer depends.
        dim (int): Width. Defaults to 256.
        depth (int): Mixer blocks. Defaults to 4.
        kernel_size (int): Of the depthwise convolutions, odd. Defaults to 9.
        fc_dim (int): Width of the fully connected layers. Defaults to 4096.
        fc_depth (int): Hidden ones beyond the first. Defaults to 0.
        **kwargs: Of :class:`LearnedGate`.

    Raises:
        TypeError: If ``patch_num`` is not an int.
        ValueError: If ``patch_num`` is below 1, or not that of a map.

    Examples:
        >>> import torch
        >>> gate = ConvMixerGate(3, patch_num=16, dim=8, fc_dim=8).eval()
        >>> x = torch.zeros(1, 3, 32, 32)
        >>> gate.scores(x, x).shape
        torch.Size([1, 4, 4])
    """

    @checked
    def __init__(
        self,
        channels: int,
        patch_num: int,
        dim: int = 256,
        depth: int = 4,
        kernel_size: int = 9,
        fc_dim: int = 4096,
        fc_depth: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        # The last layer has one output per patch.
        self.patch_num = check_int('patch_num', patch_num, 1)
        patch = self.patch_size
        self.embed = _block(2 * channels, dim, patch, stride=patch)
        depthwise = dict(padding='same', groups=dim)
        self.depthwise = nn.ModuleList(
            _block(dim, dim, kernel_size, **depthwise) for _ in range(depth)
        )
        self.pointwise = nn.ModuleList(
            _block(dim, dim, 1) for _ in range(depth)
        )
        widths = [dim] + [fc_dim] * (fc_depth + 1) + [patch_num]
        self.fc = nn.Sequential(
            *(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        )

    def scores(self, x: Tensor, ref: Tensor, window: Window = None) -> Tensor:
        """Logits: see :meth:`Gate.scores`; windows are plain patches."""
        grid = self.window_of(x, window).grid
        both = torch.cat([x, ref], 1).float()
        rows = grid[0] * self.patch_size[0] - x.shape[-2]
        cols = grid[1] * self.patch_size[1] - x.shape[-1]
        hidden = self.embed(nn.functional.pad(both, (0, cols, 0, rows)))
        for depthwise, pointwise in zip(self.depthwise, self.pointwise):
            hidden = pointwise(hidden + depthwise(hidden))
        return self.fc(hidden.mean((2, 3))).view(len(x), *grid)

    def macs(self, channels: int, window: PatchWindow) -> int:
        """Of its convolutions and fully connected layers."""
        return sum(
            m.weight.numel() * (1 if m in self.fc else window.patches)
            for m in self.modules()
            if isinstance(m, (nn.Conv2d, nn.Linear))
        )


def _block(*args, **kwargs) -> nn.Module:
    conv = nn.Conv2d(*args, **kwargs)
    return nn.Sequential(conv, nn.GELU(), nn.BatchNorm2d(conv.out_channels))
