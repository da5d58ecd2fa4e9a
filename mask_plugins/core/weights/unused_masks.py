# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""See which masks a forward pass asks for, and which a loss depends on."""

from functools import partial
from typing import List, Set

from torch import Tensor, nn

from .named_masks import named_masks
from .scope import WATCHES


class MaskWatch:
    """Note which masked weights are read and get a gradient.

    It is the weight after its mask that is watched: a penalty gives the
    logits a gradient too, although the network may read the weight past its
    mask.

    Args:
        model (nn.Module): With masks; hooks are put on them.

    Examples:
        >>> import torch
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> net = nn.Sequential(SoftMaskLinear(2, 2), SoftMaskLinear(2, 2))
        >>> watch = MaskWatch(net)
        >>> out = net[0](torch.ones(1, 2))
        >>> watch.close()
        >>> watch.unused
        ['1.weight']
    """

    def __init__(self, model: nn.Module) -> None:
        items = [item for item in named_masks(model) if item.mask.enabled]
        self._masks = {item.name: item.mask for item in items}
        self._trained = {
            name
            for name, parameter, mask in items
            for p in (parameter, *mask.parameters())
            if p.requires_grad
        }
        self._read: Set[int] = set()
        self._reached: Set[str] = set()
        self._handles = [
            mask.register_forward_hook(partial(self._watch, name))
            for name, mask in self._masks.items()
        ]
        WATCHES.append(self._read)

    def close(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        WATCHES[:] = [seen for seen in WATCHES if seen is not self._read]

    @property
    def used(self) -> List[str]:
        """Names of the masked weights that were read."""
        return [n for n, mask in self._masks.items() if id(mask) in self._read]

    @property
    def unused(self) -> List[str]:
        """Names of the masked weights that nothing has read."""
        return [name for name in self._masks if name not in self.used]

    @property
    def without_gradient(self) -> List[str]:
        """Names of those that are trained, were read and got no gradient."""
        wanted = self._trained - self._reached
        return [name for name in self.used if name in wanted]

    def _watch(self, name: str, mask: nn.Module, args, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(partial(self._note, name))

    def _note(self, name: str, grad: Tensor) -> None:
        if grad is not None:  # an output that no loss depends on
            self._reached.add(name)
