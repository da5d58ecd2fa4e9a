# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""See whether a loss depends on the masked weights."""

from functools import partial
from typing import List, Set

from torch import Tensor, nn

from . import named_masks


class MaskWatch:
    """Note which masked weights get a gradient, until it is closed.

    It is the weight after its mask that is watched: a penalty gives the
    logits a gradient too, although the network may read the weight past its
    mask.

    Args:
        model (nn.Module): With masks; hooks are put on them.
    """

    def __init__(self, model: nn.Module) -> None:
        self._reached: Set[str] = set()
        self._names: List[str] = []
        self._handles = []
        for item in named_masks(model):
            trained = [item.parameter, *item.mask.parameters()]
            if item.mask.enabled and any(p.requires_grad for p in trained):
                self._names.append(item.name)
                hook = partial(self._watch, item.name)
                self._handles.append(item.mask.register_forward_hook(hook))

    def close(self) -> List[str]:
        """Take the hooks off.

        Returns:
            list[str]: Names of the parameters that got no gradient, though
            they or their masks are trained.
        """
        for handle in self._handles:
            handle.remove()
        return [name for name in self._names if name not in self._reached]

    def _watch(self, name: str, mask: nn.Module, args, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(partial(self._note, name))

    def _note(self, name: str, grad: Tensor) -> None:
        if grad is not None:  # an output that no loss depends on
            self._reached.add(name)
