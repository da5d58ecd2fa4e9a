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
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .tiles import CTiles, Pair, Tiles, Two

ACTIVATIONS = ('none', 'relu', 'relu6')
CONVOLUTION, DEPTHWISE, MAXIMUM = range(3)


class _Operation(Structure):
    _fields_ = (
        [(n, c_int32) for n in ('kind', 'inputs', 'outputs', 'groups')]
        + [(n, Two) for n in ('kernel', 'stride', 'dilation', 'before')]
        + [(n, c_void_p) for n in ('weight', 'bias', 'pairs')]
    )


class PatchConv:
    """Weights of a convolution in the order of the kernel, or a pooling.

    Args:
        lib (CDLL): Of :func:`mask_plugins.native.library`.
        kernel (tuple[int, int]): Height and width.
        stride (tuple[int, int]): Down and across.
        dilation (tuple[int, int]): Down and across.
        before (tuple[int, int]): Zero padding above and to the left; below
            and to the right all that is outside of the map is zero.
        weight (Tensor, optional): :math:`(C_{out}, C_{in} / groups, h, w)`,
            a copy of which is kept in float32, and one in bfloat16 where a
            map of it is computed with such weights (AVX512-BF16); None takes
            the maximum.
        bias (Tensor, optional): :math:`(C_{out},)`. Defaults to None.
        groups (int): Defaults to 1.
        activation (str): One of ``ACTIVATIONS``, last of all. Defaults to
            ``'none'``.

    Examples:
        >>> from mask_plugins import native
        >>> x = torch.ones(1, 3, 8, 8).to(memory_format=torch.channels_last)
        >>> weight, out = torch.ones(3, 3, 1, 1), torch.zeros_like(x)
        >>> one, tiles = (1, 1), Tiles(grid=(2, 2), pitch=(4, 4))
        >>> if native.library():
        ...     conv = PatchConv(
        ...         native.library(), one, one, one, (0, 0), weight)
        ...     conv(x, out, tiles, torch.tensor([3]), (8, 8))
        ...     assert out[0, 0, 3:6, 4:].mean(1).tolist() == [0, 3, 3]
    """

    def __init__(
        self,
        lib: CDLL,
        kernel: Pair,
        stride: Pair,
        dilation: Pair,
        before: Pair,
        weight: Optional[Tensor] = None,
        bias: Optional[Tensor] = None,
        groups: int = 1,
        activation: str = 'none',
    ) -> None:
        self._run = lib.patch_operation
        self._run.restype = None
        self._run.argtypes = [
            *(POINTER(_Operation), POINTER(CTiles), c_void_p, c_int64, c_int),
            *(c_void_p, POINTER(Two), c_void_p, POINTER(Two), c_void_p),
            *(c_int, c_int),
        ]
        self._activation = ACTIVATIONS.index(activation)
        pairs = (Two(*p) for p in (kernel, stride, dilation, before))
        self._operation = op = _Operation(MAXIMUM, 0, 0, groups, *pairs)
        #: Channels of the output; 0 of a pooling, which has as many as there
        #: are.
        self.outputs = 0
        self._takes_pairs = False
        if weight is None:
            return
        self.outputs, inputs = len(weight), groups * weight.shape[1]
        depthwise = 1 < groups == inputs == self.outputs
        op.kind = DEPTHWISE if depthwise else CONVOLUTION
        op.inputs, op.outputs = inputs, self.outputs
        weight = weight.detach().float()
        if depthwise:
            weight = weight.flatten(1).t().contiguous()  # taps, C
        else:
            sizes = lib.patch_block(), lib.patch_lanes()
            # Taps next to each other are one row, see patch_pixels.h.
            fused = groups == 1 and dilation[1] == 1
            self._row = weight.shape[1] * (kernel[1] if fused else 1)
            weight, self._blocks = _pack(weight, groups, *sizes)
            self._takes_pairs = bool(lib.patch_pairs())
        # The last vector of biases may stick out of them.
        padded = weight.new_zeros(self.outputs + lib.patch_block())
        if bias is not None:
            padded[: self.outputs] = bias.detach()
        #: Held as long as their addresses are used.
        self._held = [weight, padded]
        op.weight, op.bias = weight.data_ptr(), padded.data_ptr()

    def pad(self, before: Pair) -> None:
        """Change the zero padding above and to the left."""
        self._operation.before = Two(*before)

    def __call__(
        self,
        x: Tensor,
        out: Tensor,
        tiles: Tiles,
        numbers: Tensor,
        size: Pair,
        residual: Optional[Tensor] = None,
    ) -> None:
        """Compute tiles of an output map, in place.

        Args:
            x (Tensor): float32 or bfloat16 on the CPU, contiguous in
                channels-last order, :math:`(B, C_{in}, H, W)`.
            out (Tensor): The same, :math:`(B, C_{out}, H_{out}, W_{out})`.
            tiles (Tiles): Where they lie.
            numbers (Tensor): int64, those of the n patches, counted through
                all samples.
            size (tuple[int, int]): Of the output map, also where ``out`` is
                made of tiles.
            residual (Tensor, optional): Like ``out``; added to it before the
                activation. Defaults to None.
        """
        if not self.outputs:
            self._operation.inputs = self._operation.outputs = x.shape[1]
        if self._takes_pairs and x.dtype is torch.bfloat16:
            weight = self._held[0]
            pairs = _pair(weight, self._blocks, self._row)
            self._held.append(pairs)  # in one step: threads may share this
            self._operation.pairs = pairs.data_ptr()
            self._takes_pairs = False
        self._run(
            byref(self._operation),
            byref(tiles.structure),
            *(numbers.data_ptr(), len(numbers), x.element_size()),
            *(x.data_ptr(), byref(Two(*x.shape[2:]))),
            *(out.data_ptr(), byref(Two(*size))),
            None if residual is None else residual.data_ptr(),
            self._activation,
            torch.get_num_threads(),
        )


def _pack(
    weight: Tensor, groups: int, block: int, lanes: int
) -> Tuple[Tensor, List[Tuple[int, int]]]:
    """Blocks of output channels, each with its channels innermost."""
    _, inputs, *kernel = weight.shape
    weight = weight.contiguous().view(groups, -1, inputs, *kernel)
    weight = weight.permute(0, 3, 4, 2, 1).flatten(1, 3)  # groups, K, outputs
    weight = F.pad(weight, (0, -weight.shape[2] % lanes))
    parts = [part for one in weight for part in one.split(block, 1)]
    packed = torch.cat([part.reshape(-1) for part in parts])
    return packed, [tuple(part.shape) for part in parts]


def _pair(packed: Tensor, blocks: List[Tuple[int, int]], row: int) -> Tensor:
    """The same in bfloat16, two inputs of a row next to each other."""
    pairs = []
    parts = packed.split([inputs * outputs for inputs, outputs in blocks])
    for part, (_, outputs) in zip(parts, blocks):
        rows = F.pad(part.view(-1, row, outputs), (0, 0, 0, row % 2))
        rows = rows.unflatten(1, (-1, 2)).transpose(2, 3)
        pairs.append(rows.bfloat16().flatten())
    return torch.cat(pairs)
