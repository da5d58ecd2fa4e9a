# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which frame a gated layer sees where."""

from enum import Enum

import torch.nn.functional as F
from torch import Tensor


class MaskMode(Enum):
    """How the current and the reference input of a layer are composed.

    With skip 1 where the gate would reuse the reference and 0 where it
    would compute (PASS, Zhou et al., AAAI 2023):

    - ``Anchor``: x, the gate is an identity.
    - ``Positive``: skip * ref + (1 - skip) * x, what inference sees.
    - ``Negative``: skip * x + (1 - skip) * ref, the complement.

    Examples:
        >>> [mode.name for mode in MaskMode]
        ['Anchor', 'Positive', 'Negative']
    """

    Anchor = 0
    Positive = 1
    Negative = 2


def compose_frames(
    x: Tensor,
    ref: Tensor,
    active: Tensor,
    mask_mode: MaskMode = MaskMode.Positive,
) -> Tensor:
    """Compose a map from the current and the reference one.

    Differentiable in all of its tensors.

    Args:
        x (Tensor): Current map, :math:`(B, C, H, W)`.
        ref (Tensor): Reference map of the same shape.
        active (Tensor): 1 or True at patches to take from the current map,
            :math:`(B, H, W)` (see :func:`upsample_patches`).
        mask_mode (MaskMode): Defaults to ``MaskMode.Positive``.

    Returns:
        Tensor: Of the shape of ``x``. Values are selected, never summed,
        where ``active`` is bool, so that a NaN stays where it is.

    Examples:
        >>> import torch
        >>> new, old = torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
        >>> compose_frames(new, old, torch.tensor([[[True, False]]]))
        tensor([[[[1., 0.]]]])
    """
    if mask_mode is MaskMode.Anchor:
        return x
    if mask_mode is MaskMode.Negative:
        x, ref = ref, x
    active = active.unsqueeze(1)
    if active.dtype.is_floating_point:
        active = active.to(x.dtype)
        return active * x + (1 - active) * ref
    return x.where(active, ref)


def upsample_patches(active: Tensor, patch_size, size) -> Tensor:
    """From one value per patch to one per pixel.

    Args:
        active (Tensor): One value per patch, :math:`(B, G_h, G_w)`.
        patch_size (tuple[int, int]): Height and width of a patch.
        size (tuple[int, int]): Height and width of the map; patches at its
            lower and right end may stick out.

    Returns:
        Tensor: :math:`(B, H, W)`.

    Examples:
        >>> import torch
        >>> upsample_patches(torch.tensor([[[0, 1]]]), (2, 2), (2, 3))
        tensor([[[0, 0, 1],
                 [0, 0, 1]]])
    """
    rows, cols = patch_size
    pixels = active.repeat_interleave(rows, 1).repeat_interleave(cols, 2)
    # Cropped, or where the grid ends before the map does, padded.
    short = (size[0] - pixels.shape[1], size[1] - pixels.shape[2])
    return F.pad(pixels, (0, short[1], 0, short[0]))
