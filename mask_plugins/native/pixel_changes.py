# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is known of the change of each pixel from the frame before."""

from ctypes import Structure, c_int32, c_void_p
from dataclasses import dataclass
from typing import Optional

from torch import Tensor

from .tiles import Pair, Two


class CKnown(Structure):
    """As in src/patch_change.cpp."""

    _fields_ = [
        *((name, c_void_p) for name in ('changes', 'stale', 'changed')),
        *((name, c_int32 * 2) for name in ('grid', 'pitch')),
    ]


NOTHING_KNOWN = CKnown()


@dataclass(eq=False)
class PixelChanges:
    """Change of each pixel of a map since its reference, kept between frames.

    Args:
        values (Tensor): Sum over the channels, float32, :math:`(B, H, W)`;
            the kernel writes them.
        stale (Tensor, optional): Patches whose reference is another one than
            in the frame before, bool, :math:`(B, G_h, G_w)`. None: all, so
            that every pixel is compared. Defaults to None.
        changed (Tensor, optional): Patches of the layer that made the map,
            where it is another one, bool, :math:`(B, G'_h, G'_w)`. Defaults
            to None: everywhere.
        pitch (tuple[int, int]): Height and width of these in pixels of the
            map. Defaults to (1, 1).
        written (bool): Whether the kernel has compared since this was last
            set to False; torch, in its place, leaves the values as they are.
            Defaults to False.

    Examples:
        >>> import torch
        >>> known = PixelChanges(torch.empty(1, 8, 8))
        >>> known.structure().stale is None
        True
    """

    values: Tensor
    stale: Optional[Tensor] = None
    changed: Optional[Tensor] = None
    pitch: Pair = (1, 1)
    written: bool = False

    def structure(self) -> CKnown:
        """What the kernels take."""
        values = self.values.data_ptr()
        if self.stale is None or self.changed is None:
            return CKnown(changes=values)
        return CKnown(
            *(values, self.stale.data_ptr(), self.changed.data_ptr()),
            *(Two(*self.changed.shape[1:]), Two(*self.pitch)),
        )
