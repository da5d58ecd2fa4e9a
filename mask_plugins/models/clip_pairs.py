# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Clips as pairs of a frame and the one before it."""

from typing import Tuple

from torch import Tensor, nn


def frame_pairs(clips: Tensor) -> Tuple[Tensor, Tensor]:
    """Pair every frame but the first with the one before it.

    Args:
        clips (Tensor): :math:`(B, T, C, H, W)`.

    Returns:
        tuple[Tensor]: Earlier and current frames,
        :math:`(B (T - 1), C, H, W)` each, all of one clip in a row.

    Raises:
        ValueError: If these are not clips of at least two frames.

    Examples:
        >>> import torch
        >>> before, now = frame_pairs(torch.zeros(2, 4, 3, 8, 8))
        >>> now.shape
        torch.Size([6, 3, 8, 8])
    """
    if clips.ndim != 5 or clips.shape[1] < 2:
        raise ValueError(
            'inputs must be clips (B, T, C, H, W) of at least two frames '
            f'(clip_len of the dataset), got {tuple(clips.shape)}'
        )
    return clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1)


def check_rgb(data_preprocessor: nn.Module) -> None:
    """Refuse a preprocessor that reverses the channels of clips.

    Raises:
        ValueError: If it has ``to_rgb=True``.

    Examples:
        >>> check_rgb(nn.Identity())
    """
    if getattr(data_preprocessor, 'to_rgb', False):
        raise ValueError(
            'data_preprocessor must have to_rgb=False: frames of clips '
            'are RGB already, and it would reverse the order of three frames'
        )
