# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much each patch has changed since its reference."""

import torch.nn.functional as F
from torch import Tensor

from .patch_window import PatchWindow

REDUCTIONS = ('mean', 'max')


def patch_change(
    x: Tensor, ref: Tensor, window: PatchWindow, reduction: str = 'mean'
) -> Tensor:
    """Mean or maximum of the absolute difference over each window.

    Args:
        x (Tensor): Current map, :math:`(B, C, H, W)`.
        ref (Tensor): Reference map of the same shape.
        window (PatchWindow): The patches and their windows.
        reduction (str): ``'mean'`` or ``'max'``, over channels and pixels.
            Defaults to ``'mean'``.

    Returns:
        Tensor: float32 whatever the precision of the maps,
        :math:`(B, G_h, G_w)`. NaN where a window holds a NaN.
    """
    x, ref = x.float(), ref.float()  # as they are if float32 already
    change = F.l1_loss(x, ref, reduction='none')
    if reduction == 'max':
        pixels = change.amax(1)
    elif change.shape[1] < 8:  # 3x as fast as mean() of 3 channels
        pixels = sum(change.unbind(1)) / change.shape[1]
    else:
        pixels = change.mean(1)
    return pool_windows(pixels.unsqueeze(1), window, reduction).squeeze(1)


def pool_windows(
    maps: Tensor, window: PatchWindow, reduction: str = 'mean'
) -> Tensor:
    """Pool the window of each patch; pixels outside of the map are zero.

    Args:
        maps (Tensor): :math:`(B, C, H, W)`, not negative for ``'max'``.
        window (PatchWindow): The patches and their windows.
        reduction (str): ``'mean'`` or ``'max'``. Defaults to ``'mean'``.

    Returns:
        Tensor: :math:`(B, C, G_h, G_w)`.
    """
    pads = []
    for axis in (1, 0):  # F.pad begins with the last axis
        need = (window.grid[axis] - 1) * window.patch[axis]
        need += window.size[axis] - window.before[axis]
        pads += [window.before[axis], need - maps.shape[2 + axis]]
    maps = F.pad(maps, pads) if any(pads) else maps
    pool = F.avg_pool2d if reduction == 'mean' else F.max_pool2d
    return pool(maps, window.size, window.patch)


def map_scale(x: Tensor) -> Tensor:
    """Mean magnitude of each map, from one pixel in 16: what relative means.

    Args:
        x (Tensor): :math:`(B, C, H, W)`.

    Returns:
        Tensor: float32, :math:`(B, 1, 1)`, never 0; only finite values count.
    """
    sample = x[..., ::4, ::4].detach().float().abs()
    sample = sample.nan_to_num(0.0, 0.0, 0.0)
    return sample.mean((1, 2, 3)).clamp_min(1e-12).view(-1, 1, 1)
