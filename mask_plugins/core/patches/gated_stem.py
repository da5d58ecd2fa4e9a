# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The first layers of a ResNet, fused behind one gate.

They are no module of their own: the network calls its convolution, norm,
activation and pooling one after the other. So the convolution, gated, does
the work of all four while it is bound, and hands the others its result to
pass on; names of parameters and the network's own forward stay as they are.
"""

from typing import Any, List

from torch import Tensor, nn

from .chain import Chain
from .gated_layer import GatedLayer, composed_class, stock_class
from .step import Step


class GatedStemMixin(GatedLayer):
    """What makes the convolution of a stem gated, together with the rest."""

    _members: Any = ()

    def members(self) -> List[nn.Module]:
        """Norm, activation and pooling, in order."""
        return list(self._members)

    def make_chain(self) -> Chain:
        """All of the stem."""
        norm, act, pool = self._members
        return Chain([Step(self, norm, act), Step(pool)])

    def dense(self, x: Tensor) -> Tensor:
        """The stock layers: all of them if bound, else the first."""
        out = super().dense(x)
        if self._binding is None or self.gate.running_mode.bypasses_gates:
            return out
        for member in self._members:
            out = stock_class(member).forward(member, out)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """The output of the pooling where bound, else as the stock layer."""
        out = super().forward(x)
        if not (
            self._binding is None or self.gate.running_mode.bypasses_gates
        ):
            for member in self._members:
                member._passes += 1
        return out


class StemMember(nn.Module):
    """A layer whose work the gated convolution before it may have done."""

    _passes = 0

    def forward(self, x: Tensor) -> Tensor:
        """As the stock layer, or nothing if its work is done."""
        if self._passes:
            self._passes -= 1
            return x
        return super().forward(x)

    def __reduce_ex__(self, protocol: int):
        made = type(self).__dict__['_composed']
        return _rebuild, made, self.__getstate__()


def _rebuild(mixin: type, stock: type) -> nn.Module:
    cls = composed_class(mixin, stock)
    return cls.__new__(cls)


def _parts(network: nn.Module) -> List[nn.Module]:
    norm = getattr(network, 'norm1', getattr(network, 'bn1', None))
    act = getattr(network, 'relu', getattr(network, 'act1', None))
    return [norm, act, getattr(network, 'maxpool', None)]


def is_stem(network: nn.Module) -> bool:
    """Whether a network begins like a ResNet for large images.

    Args:
        network (nn.Module): Such as those of torchvision and mmpretrain.
    """
    if not isinstance(getattr(network, 'conv1', None), nn.Conv2d):
        return False
    norm, act, pool = _parts(network)
    return (
        isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm, nn.Identity))
        and isinstance(act, nn.ReLU)
        and isinstance(pool, nn.MaxPool2d)
    )


def add_stem(
    network: nn.Module,
    gate,
    reuse: str,
    break_even,
    hidden: str = 'recompute',
) -> None:
    """Gate the stem of a network, in place.

    Args:
        network (nn.Module): See :func:`is_stem`.
        gate (str | dict | Gate): See :func:`build_gate`.
        reuse (str): See :class:`GatedLayer`.
        break_even (str | float): See there.
        hidden (str): See there. Defaults to ``'recompute'``, as the map
            before the pooling is the largest of all.
    """
    conv, members = network.conv1, _parts(network)
    Chain([Step(conv, *members[:2]), Step(members[2])])  # an error first
    conv.__class__ = composed_class(GatedStemMixin, type(conv))
    for member in members:
        member.__class__ = composed_class(StemMember, type(member))
    # In a tuple: no child of the convolution, so that no name changes.
    conv._members = tuple(members)
    conv.init_gate(gate, conv.in_channels, reuse, break_even, hidden)


def remove_stem(member: nn.Module) -> None:
    """Make a member the stock layer again."""
    member.__class__ = stock_class(member)
    member.__dict__.pop('_passes', None)
