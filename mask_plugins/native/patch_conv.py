# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A convolution or a maximum pooling over a list of patches, compiled."""

from ctypes import (
    CDLL,
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_int64,
    c_void_p,
)
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = Tuple[int, int]
#: What maps may hold; arithmetic is float32 whatever they do.
DTYPES = (torch.float32, torch.bfloat16)
ACTIVATIONS = ('none', 'relu', 'relu6')
CONVOLUTION, DEPTHWISE, MAXIMUM = range(3)


class _Pair(c_int32 * 2):
    pass


class _Operation(Structure):
    _fields_ = (
        [(n, c_int32) for n in ('kind', 'inputs', 'outputs', 'groups')]
        + [(n, _Pair) for n in ('kernel', 'stride', 'dilation', 'before')]
        + [(n, c_void_p) for n in ('weight', 'bias')]
    )


class _Tiles(Structure):
    _fields_ = [(n, _Pair) for n in ('grid', 'pitch', 'start', 'size')] + [
        (n, c_int32) for n in ('from_tiles', 'to_tiles')
    ]


class Tiles(NamedTuple):
    """Tiles of an output map; see :class:`PatchConv`.

    Args:
        grid (tuple[int, int]): Patches down and across.
        pitch (tuple[int, int]): Output pixels from patch to patch.
        start (tuple[int, int]): First pixel of patch (0, 0); those outside
            of the map are not computed. Defaults to (0, 0).
        size (tuple[int, int], optional): Pixels of a tile. Defaults to the
            pitch.
        from_tiles (bool): Whether the input is one small map per tile, which
            begins where the tile reads. Defaults to False.
        to_tiles (bool): Whether the output is; it is zero outside of the
            map. Defaults to False.
    """

    grid: Pair
    pitch: Pair
    start: Pair = (0, 0)
    size: Optional[Pair] = None
    from_tiles: bool = False
    to_tiles: bool = False


class PatchConv:
    """Weights of a convolution in the order of the kernel, or a pooling.

    Args:
        lib (CDLL): Of :func:`mask_plugins.native.library`.
        channels (tuple[int, int]): Of the input and of the output.
        kernel (tuple[int, int]): Height and width.
        stride (tuple[int, int]): Down and across.
        dilation (tuple[int, int]): Down and across.
        before (tuple[int, int]): Zero padding above and to the left; below
            and to the right all that is outside of the map is zero.
        weight (Tensor, optional): :math:`(C_{out}, C_{in} / groups, h, w)`,
            a copy of which is kept in float32; None takes the maximum.
        bias (Tensor, optional): :math:`(C_{out},)`. Defaults to None.
        groups (int): Defaults to 1.

    Examples:
        >>> from mask_plugins import native
        >>> x = torch.ones(1, 3, 8, 8).to(memory_format=torch.channels_last)
        >>> weight, out = torch.ones(3, 3, 1, 1), torch.zeros_like(x)
        >>> one, tiles = (1, 1), Tiles(grid=(2, 2), pitch=(4, 4))
        >>> if native.library():
        ...     conv = PatchConv(
        ...         native.library(), (3, 3), one, one, one, (0, 0), weight)
        ...     conv(x, out, tiles, torch.tensor([3]), (8, 8))
        ...     print(out[0, 0, 3:6, 4:].mean(1).tolist())
        [0.0, 3.0, 3.0]
    """

    def __init__(
        self,
        lib: CDLL,
        channels: Pair,
        kernel: Pair,
        stride: Pair,
        dilation: Pair,
        before: Pair,
        weight: Optional[Tensor] = None,
        bias: Optional[Tensor] = None,
        groups: int = 1,
    ) -> None:
        self._run = lib.patch_operation
        self._run.restype = None
        self._run.argtypes = [
            *(POINTER(_Operation), POINTER(_Tiles), c_void_p, c_int64, c_int),
            *(c_void_p, POINTER(_Pair), c_void_p, POINTER(_Pair), c_void_p),
            *(c_int, c_int),
        ]
        kind = MAXIMUM
        if weight is not None:
            depthwise = groups == channels[0] == channels[1]
            kind = DEPTHWISE if depthwise and groups > 1 else CONVOLUTION
            block, lanes = lib.patch_block(), lib.patch_lanes()
            weight = weight.detach().float()
            if kind == DEPTHWISE:
                weight = weight.flatten(1).t()  # taps, C
            else:
                weight = _pack(weight, groups, block, lanes)
            # The last vector of biases may stick out of them.
            padded = weight.new_zeros(channels[1] + block)
            if bias is not None:
                padded[: channels[1]] = bias.detach()
            #: Held as long as their addresses are used.
            self._held = weight.contiguous(), padded
            weight, bias = (tensor.data_ptr() for tensor in self._held)
        pairs = (_Pair(*p) for p in (kernel, stride, dilation, before))
        self._operation = _Operation(
            kind, *channels, groups, *pairs, weight, bias
        )
        self._tiles: Tuple[Optional[Tiles], Optional[_Tiles]] = None, None

    def __call__(
        self,
        x: Tensor,
        out: Tensor,
        tiles: Tiles,
        numbers: Tensor,
        size: Pair,
        activation: str = 'none',
        residual: Optional[Tensor] = None,
    ) -> None:
        """Compute tiles of an output map, in place.

        Args:
            x (Tensor): One of ``DTYPES`` on the CPU, contiguous in
                channels-last order, :math:`(B, C_{in}, H, W)`.
            out (Tensor): The same, :math:`(B, C_{out}, H_{out}, W_{out})`.
            tiles (Tiles): Where they lie.
            numbers (Tensor): int64, those of the n patches, counted through
                all samples.
            size (tuple[int, int]): Of the output map, also where ``out`` is
                made of tiles.
            activation (str): One of ``ACTIVATIONS``; last of all. Defaults
                to ``'none'``.
            residual (Tensor, optional): Like ``out``; added to it.
                Defaults to None.
        """
        if self._tiles[0] is not tiles:
            pairs = (tiles.grid, tiles.pitch, tiles.start)
            pairs = (_Pair(*p) for p in (*pairs, tiles.size or tiles.pitch))
            self._tiles = tiles, _Tiles(*pairs, *tiles[-2:])
        self._run(
            byref(self._operation),
            byref(self._tiles[1]),
            *(numbers.data_ptr(), len(numbers), x.element_size()),
            *(x.data_ptr(), byref(_Pair(*x.shape[2:]))),
            *(out.data_ptr(), byref(_Pair(*size))),
            None if residual is None else residual.data_ptr(),
            ACTIVATIONS.index(activation),
            torch.get_num_threads(),
        )


def _pack(weight: Tensor, groups: int, block: int, lanes: int) -> Tensor:
    """Blocks of output channels, each with its channels innermost."""
    _, inputs, *kernel = weight.shape
    weight = weight.view(groups, -1, inputs, *kernel)
    weight = weight.permute(0, 3, 4, 2, 1).flatten(1, 3)  # groups, K, outputs
    weight = F.pad(weight, (0, -weight.shape[2] % lanes))
    parts = [part for one in weight for part in one.split(block, 1)]
    return torch.cat([part.reshape(-1) for part in parts])
