# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One operation of a chain: a convolution with its neighbors, or a pool."""

from dataclasses import dataclass
from functools import cached_property
from typing import List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask_plugins.utils.compat_torch import autocast_dtype

from .geometry import geometry_of
from .mkldnn_conv import pack_weight, packed_conv2d
from .product_conv import is_small, product_conv2d, weight_matrix

#: Activations that work on each value alone.
ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh),
)
Padding = Union[str, Tuple[int, int]]
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(eq=False)
class Folded:
    """Weights of a step with its normalization folded in.

    Args:
        weight (Tensor, optional): None of a pool.
        bias (Tensor, optional): None without one.
        packed (Tensor, optional): See :func:`pack_weight`.
    """

    weight: Optional[Tensor] = None
    bias: Optional[Tensor] = None
    packed: Optional[Tensor] = None

    @cached_property
    def matrix(self) -> Tensor:
        """See :func:`weight_matrix`; made when first needed."""
        return weight_matrix(self.weight)


class Step:
    """A convolution, its normalization and its activation; or a pooling.

    :meth:`on_tiles` is the way of plain torch; where compiled kernels are,
    :class:`CompiledChain` does its work.

    Args:
        op (nn.Module): ``nn.Conv2d`` or ``nn.MaxPool2d``.
        norm (nn.Module, optional): ``BatchNorm2d`` with running statistics.
        act (nn.Module, optional): One of ``ELEMENTWISE``.

    Raises:
        TypeError: If a part is of a kind that does not work on tiles.
        ValueError: If its options do not.

    Examples:
        >>> step = Step(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        >>> step.pools, step.geometry.kernel
        (False, (3, 3))
    """

    def __init__(
        self,
        op: nn.Module,
        norm: Optional[nn.Module] = None,
        act: Optional[nn.Module] = None,
    ) -> None:
        self.op = op
        self.norm = None if isinstance(norm, nn.Identity) else norm
        # timm's norm with an activation; that it is no more than both, the
        # check of the chain shows.
        both = isinstance(norm, nn.BatchNorm2d) and hasattr(norm, 'act')
        act = norm.act if both and act is None else act
        self.act = None if isinstance(act, nn.Identity) else act
        self.geometry = geometry_of(op)
        if self.norm is not None and (
            not (both or _is_just(self.norm, NORMS))
            or self.norm.running_mean is None
        ):
            allowed = 'a plain BatchNorm2d with running statistics'
            raise TypeError(f'the norm must be {allowed}, got {norm}')
        if self.act is not None and not _is_just(self.act, ELEMENTWISE):
            kinds = [kind.__name__ for kind in ELEMENTWISE]
            raise TypeError(
                f'the activation must be one of {kinds}, got {act}'
            )

    @property
    def pools(self) -> bool:
        """Whether the operation is a pooling."""
        return isinstance(self.op, nn.MaxPool2d)

    def tensors(self) -> List[Tensor]:
        """Weights and statistics that the output depends on."""
        found = [] if self.pools else [self.op.weight, self.op.bias]
        if self.norm is not None:
            norm = self.norm
            found += [norm.weight, norm.bias]
            found += [norm.running_mean, norm.running_var]
        return [tensor for tensor in found if tensor is not None]

    @torch.no_grad()
    def folded(self) -> Folded:
        """Weight and bias with the normalization folded in."""
        if self.pools:
            return Folded()
        weight, bias = self.op.weight.detach(), self.op.bias
        if self.norm is not None:
            norm = self.norm
            scale = torch.rsqrt(norm.running_var.double() + norm.eps)
            if norm.weight is not None:
                scale = scale * norm.weight.double()
            shift = -norm.running_mean.double() * scale
            if norm.bias is not None:
                shift = shift + norm.bias.double()
            if bias is not None:
                shift = shift + bias.double() * scale
            bias = shift.to(weight)
            weight = (weight.double() * scale.view(-1, 1, 1, 1)).to(weight)
        bias = None if bias is None else bias.detach()
        weight = weight.contiguous(memory_format=torch.channels_last)
        return Folded(weight, bias, pack_weight(self.op, weight))

    def on_tiles(
        self, x: Tensor, folded: Folded, padding: Padding = (0, 0)
    ) -> Tensor:
        """Apply it to tiles, or with a padding to whole maps.

        Args:
            x (Tensor): :math:`(n, C, h, w)`.
            folded (Folded): Of this step.
            padding (str | tuple[int, int]): Defaults to none, which tiles
                bring with them.

        Returns:
            Tensor: A new tensor, after the activation.
        """
        op, weight, bias = self.op, folded.weight, folded.bias
        geometry = (op.stride, padding, op.dilation)
        plain = (
            weight is not None
            and x.dtype is weight.dtype is torch.float32
            and not isinstance(padding, str)
            and autocast_dtype(x.device.type) is None
        )
        one_group = plain and op.groups == 1 and x.device.type == 'cpu'
        if weight is None:
            x = F.max_pool2d(x, op.kernel_size, *geometry)
        elif one_group and not any(padding) and is_small(x, op):
            x = product_conv2d(x, op, folded.matrix, bias)
        elif plain and folded.packed is not None:
            x = packed_conv2d(x, op, folded.packed, bias, padding)
        else:
            x = F.conv2d(x, weight, bias, *geometry, op.groups)
        return activate_(x, self.act)

    def on_map(self, x: Tensor, folded: Folded) -> Tensor:
        """Apply it to whole maps, with the padding of the operation."""
        padding = self.op.padding
        if self.geometry.same:
            geometry = self.geometry.at(x.shape[-2:])
            rows, columns = zip(geometry.before, geometry.after)
            x = F.pad(x, (*columns, *rows))
            padding = (0, 0)
        return self.on_tiles(x, folded, padding)

    def macs(self, out_pixels: int) -> int:
        """Multiply-adds for a number of output pixels."""
        return 0 if self.pools else out_pixels * self.op.weight.numel()


def _is_just(module: nn.Module, kinds) -> bool:
    """Whether it computes what one of these classes does."""
    forward = next(
        base.__dict__['forward']
        for base in type(module).__mro__
        if 'forward' in base.__dict__ and 'transparent' not in base.__dict__
    )
    return any(
        isinstance(module, kind) and forward is kind.forward for kind in kinds
    )


def activate_(x: Tensor, act: Optional[nn.Module]) -> Tensor:
    """Apply an activation to a tensor that nobody else holds."""
    if act is None:
        return x
    return x.relu_() if isinstance(act, nn.ReLU) else act(x)
