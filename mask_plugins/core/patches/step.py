# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One operation of a chain: a convolution with its neighbors, or a pool."""

from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .geometry import Geometry, geometry_of
from .mkldnn_conv import pack_weight, packed_conv2d

#: Activations that work on each value alone and keep zero at zero or not.
ELEMENTWISE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.Tanh,
    nn.Identity,
)


class Folded(NamedTuple):
    """Weights of a step with its normalization folded in.

    Args:
        weight (Tensor, optional): None of a pool.
        bias (Tensor, optional): None without one.
        packed (Tensor, optional): See :func:`pack_weight`.
    """

    weight: Optional[Tensor] = None
    bias: Optional[Tensor] = None
    packed: Optional[Tensor] = None


class Step(NamedTuple):
    """A convolution, its normalization and its activation; or a pooling.

    Args:
        op (nn.Module): ``nn.Conv2d`` or ``nn.MaxPool2d``.
        norm (nn.Module, optional): ``BatchNorm2d`` with running statistics.
        act (nn.Module, optional): One of ``ELEMENTWISE``.
    """

    op: nn.Module
    norm: Optional[nn.Module] = None
    act: Optional[nn.Module] = None

    @property
    def geometry(self) -> Geometry:
        """Of the operation."""
        return geometry_of(self.op)

    def check(self, nonnegative: bool) -> None:
        """Refuse what cannot run on tiles.

        Args:
            nonnegative (bool): Whether the input is known to be >= 0.

        Raises:
            TypeError: If a part is of a kind that does not work on tiles.
            ValueError: If its options do not.
        """
        self.geometry  # noqa: B018 (raises)
        if isinstance(self.op, nn.MaxPool2d):
            # Tiles are zero outside of the map where a pool has -inf.
            if not nonnegative and max(self.geometry.before) > 0:
                raise ValueError(
                    'a gated MaxPool2d with padding must follow a ReLU'
                )
        elif type(self.op).forward is not nn.Conv2d.forward:
            bases = [c.__name__ for c in type(self.op).__mro__]
            if '_masked' in self.op.__dict__ or 'Conv2d' not in bases:
                raise TypeError(
                    f'{type(self.op).__name__} cannot be gated: merge or '
                    'remove its masks first'
                )
        norm = self.norm
        if norm is not None and not isinstance(norm, nn.Identity):
            batch_norm = isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm))
            if not batch_norm or norm.running_mean is None:
                raise TypeError(
                    'the norm of a gated layer must be a BatchNorm2d with '
                    f'running statistics, got {norm}'
                )
        if self.act is not None and not isinstance(self.act, ELEMENTWISE):
            names = [kind.__name__ for kind in ELEMENTWISE]
            raise TypeError(
                f'the activation of a gated layer must be one of {names}, '
                f'got {type(self.act).__name__}'
            )

    def tensors(self) -> Tuple[Tensor, ...]:
        """Parameters and statistics that the output depends on."""
        if isinstance(self.op, nn.MaxPool2d):
            return ()
        found = [self.op.weight, self.op.bias]
        if self.norm is not None and not isinstance(self.norm, nn.Identity):
            norm = self.norm
            found += [norm.weight, norm.bias]
            found += [norm.running_mean, norm.running_var]
        return tuple(t for t in found if t is not None)

    @torch.no_grad()
    def folded(self) -> Folded:
        """Weight and bias with the normalization folded in."""
        if isinstance(self.op, nn.MaxPool2d):
            return Folded()
        weight, bias = self.op.weight.detach(), self.op.bias
        norm = self.norm
        if norm is not None and not isinstance(norm, nn.Identity):
            scale = torch.rsqrt(norm.running_var.double() + norm.eps)
            if norm.weight is not None:
                scale = scale * norm.weight.double()
            shift = -norm.running_mean.double() * scale
            if norm.bias is not None:
                shift = shift + norm.bias.double()
            if bias is not None:
                shift = shift + bias.double() * scale
            dtype = weight.dtype
            weight = weight.double() * scale.view(-1, 1, 1, 1)
            weight, bias = weight.to(dtype), shift.to(dtype)
        bias = None if bias is None else bias.detach()
        weight = weight.contiguous(memory_format=torch.channels_last)
        return Folded(weight, bias, pack_weight(self.op, weight))

    def on_tiles(self, tiles: Tensor, folded: Folded) -> Tensor:
        """Apply it to tiles that bring their own padding.

        Args:
            tiles (Tensor): :math:`(n, C, h, w)`.
            folded (Folded): Of this step.

        Returns:
            Tensor: A new tensor, after the activation.
        """
        return self._apply(tiles, folded, (0, 0))

    def on_map(self, x: Tensor, folded: Folded) -> Tensor:
        """Apply it to a whole map, with its own padding.

        Args:
            x (Tensor): :math:`(B, C, H, W)`.
            folded (Folded): Of this step.

        Returns:
            Tensor: A new tensor, after the activation.
        """
        return self._apply(x, folded, self.op.padding)

    def _apply(self, x: Tensor, folded: Folded, padding) -> Tensor:
        op, (weight, bias, packed) = self.op, folded
        if weight is None:
            x = F.max_pool2d(
                x, op.kernel_size, op.stride, padding, op.dilation
            )
        elif (
            packed is not None
            and not isinstance(padding, str)
            and x.dtype is torch.float32
            and not torch.is_autocast_enabled('cpu')
        ):
            x = packed_conv2d(x, op, packed, bias, padding)
        else:
            x = F.conv2d(
                x, weight, bias, op.stride, padding, op.dilation, op.groups
            )
        return activate_(x, self.act)

    def macs(self, out_pixels: int) -> int:
        """Multiply-adds for a number of output pixels."""
        if isinstance(self.op, nn.MaxPool2d):
            return 0
        return out_pixels * self.op.weight.numel()


def activate_(x: Tensor, act: Optional[nn.Module]) -> Tensor:
    """Apply an activation to a tensor that nobody else has."""
    if act is None or isinstance(act, nn.Identity):
        return x
    if isinstance(act, nn.ReLU):
        return x.relu_()
    return act(x)
