# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The first layers of a ResNet, fused behind one gate.

They are not a module of their own: the network calls its convolution, norm,
activation and pooling one after the other. So the convolution, gated, does
the work of all four while it is bound, and hands the others its result to
pass on; names of parameters and the network's own forward stay as they are.
"""

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence

from torch import Tensor, nn

from ..composed import Composed, compose, decompose
from .chain import Chain
from .gated_layer import GatedLayer
from .step import Step


@dataclass
class Handover:
    """A result on its way through the layers whose work it contains.

    Args:
        out (Tensor, optional): The result; None if nothing is on its way.
        left (Sequence[nn.Module]): Layers that it has not passed.
    """

    out: Optional[Tensor] = None
    left: Sequence[nn.Module] = ()


def _refuse(reason: str) -> None:
    raise TypeError(
        'a network must call the four parts of a gated stem one after the '
        f"other, but {reason}: use stem=False, or place='conv'"
    )


class GatedStemMixin(GatedLayer):
    """What makes the convolution of a stem gated, together with the rest."""

    own = (*GatedLayer.own, '_members', '_handover')
    _members: Any = ()
    _handover: Any = None

    def parts(self) -> List[nn.Module]:
        """Norm, activation and pooling, in order."""
        return [*super().parts(), *self._members]

    def make_chain(self) -> Chain:
        """All of the stem."""
        norm, act, pool = self._members
        return Chain([Step(self, norm, act), Step(pool)])

    def stock(self) -> nn.Module:
        """Take the gate off, in place, and make the members stock ones."""
        for member in self._members:
            decompose(member, StemMember)
            member.__dict__.pop('_handover', None)
        return super().stock()

    def dense(self, x: Tensor) -> Tensor:
        """The stock layers, all of them."""
        out = super().dense(x)
        for member in self._members:
            out = member(out)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """The output of the pooling where bound, else of the convolution."""
        if not self.bound:
            return super().dense(x)
        self._handover.out = self._binding(self, x)
        self._handover.left = self._members
        return self._handover.out

    def check_done(self) -> None:
        """Refuse a network that did not call all of the stem."""
        if self._handover.left:
            _refuse('it did not call all of them')

    def unbind(self) -> None:
        """Forget what a call was bound to."""
        self._handover.out, self._handover.left = None, ()
        super().unbind()


class StemMember(Composed):
    """A layer whose work the gated convolution before it may have done."""

    #: Alone, it computes what its stock class does.
    transparent = True
    _handover: Any = None

    def forward(self, x: Tensor) -> Tensor:
        """As the stock layer, or nothing if its work is done."""
        handover = self._handover
        if not handover.left:
            return super().forward(x)
        if x is not handover.out or self is not handover.left[0]:
            _refuse('it does something else between them')
        handover.left = handover.left[1:]
        return x


def _members(network: nn.Module) -> List[Optional[nn.Module]]:
    norm = getattr(network, 'norm1', getattr(network, 'bn1', None))
    act = getattr(network, 'relu', getattr(network, 'act1', None))
    return [norm, act, getattr(network, 'maxpool', None)]


def is_stem(network: nn.Module) -> bool:
    """Whether a network begins like a ResNet for large images.

    Args:
        network (nn.Module): Such as those of torchvision and mmpretrain.
    """
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.Identity)
    parts = (getattr(network, 'conv1', None), *_members(network))
    kinds = (nn.Conv2d, norms, nn.ReLU, nn.MaxPool2d)
    return all(map(isinstance, parts, kinds))


def add_stem(network: nn.Module, hidden: str = 'recompute', **options) -> None:
    """Gate the stem of a network, in place.

    Args:
        network (nn.Module): See :func:`is_stem`.
        hidden (str): See :meth:`GatedLayer.init_gate`. Defaults to
            ``'recompute'``, as the map before the pooling is the largest.
        **options: See there.
    """
    conv = compose(network.conv1, GatedStemMixin)
    # In a tuple: not children of the convolution, so that no name changes.
    conv._members = tuple(_members(network))
    conv._handover = Handover()
    for member in conv._members:
        compose(member, StemMember)._handover = conv._handover
    conv.init_gate(channels=conv.in_channels, hidden=hidden, **options)
