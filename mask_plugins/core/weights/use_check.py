# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks that nothing reads are named in the first forward of a model."""

import warnings
from typing import Any, List, Optional, Set, Tuple

from torch import nn

from mask_plugins.utils.compat_torch import is_compiling, run_eagerly

from .scope import WATCHES
from .weight_mask import WeightMask

UNUSED = (
    'masks of {} were not used in the first forward of the {}: their layer '
    'has not read them, or read the bare weight. Take them out of the rules{}'
)
# Where a model without masks, as between two adapters, keeps ``unused``.
KEPT = '_unused_masks'


class UseCheck:
    """Watch the first forward in training mode, and the first in eval mode.

    A mask that nothing has read is named: the network computes with the
    weight itself. In eval mode it is a warning where a whole part of the
    model is off, as a head is where features are extracted. Not checked
    under ``torch.compile``.

    Attributes:
        unused (str): What such a mask is: a ``'warning'`` or an ``'error'``.

    Examples:
        >>> from mask_plugins.core.weights import ScoreMask, apply_weight_masks
        >>> class Past(nn.Linear):
        ...     def forward(self, x):
        ...         return x @ self._parameters['weight'].T
        >>> net = nn.Sequential(Past(2, 2))
        >>> net = apply_weight_masks(net, [('*weight', 'mask')], ScoreMask)
        >>> find_use_check(net).unused = 'error'
        >>> import torch
        >>> net(torch.ones(1, 2))
        Traceback (most recent call last):
        RuntimeError: masks of 0.weight were not used in the first forward...
    """

    def __init__(self) -> None:
        self.unused = 'warning'
        self._left = {True, False}
        self._read: Optional[Set[int]] = None

    @run_eagerly
    def begin(self, module: nn.Module, args: Any) -> None:
        """Before the forward of the model."""
        replica = getattr(module, '_is_replica', False)  # of DataParallel
        if (
            not is_compiling()
            and not replica
            and module.training in self._left
        ):
            self._stop()
            self._read = set()
            WATCHES.append(self._read)

    @run_eagerly
    def end(self, module: nn.Module, args: Any, output: Any) -> None:
        """After it, or with None where it has failed.

        Raises:
            RuntimeError: If a mask was not read and that is an error.
        """
        if is_compiling() or self._read is None:
            return
        read = self._stop()
        if output is None:
            return
        names, serious = self._missed(module, read)
        if serious and self.unused == 'error':
            raise RuntimeError(self._text(module, serious))
        self._left.discard(module.training)
        if names:
            warnings.warn(self._text(module, names), stacklevel=2)

    def _stop(self) -> Set[int]:
        read, self._read = self._read, None
        WATCHES[:] = [seen for seen in WATCHES if seen is not read]
        return read or set()

    @staticmethod
    def _missed(
        module: nn.Module, read: Set[int]
    ) -> Tuple[List[str], List[str]]:
        """Names of what was not read; the same without parts that are off."""
        masks = {
            path.rpartition('_mask')[0].replace('_orig_mod.', ''): id(mask)
            for path, mask in module.named_modules()
            if isinstance(mask, WeightMask) and mask.enabled
        }
        names = [name for name, mask in masks.items() if mask not in read]
        parts = {name.split('.')[0] for name in masks.keys() - set(names)}
        if module.training or not parts:
            return names, names
        return names, [name for name in names if name.split('.')[0] in parts]

    def _text(self, module: nn.Module, names: List[str]) -> str:
        rest = f' and {len(names) - 5} more' if len(names) > 5 else ''
        option = (
            ", or if they are off on purpose set MaskedModel(unused='warning')"
            if self.unused == 'error'
            else ''
        )
        when = 'training' if module.training else 'evaluation'
        return UNUSED.format(', '.join(names[:5]) + rest, when, option)


def find_use_check(module: nn.Module) -> Optional[UseCheck]:
    """The check of a model that masks were put on; None if it has none."""
    for hook in module._forward_hooks.values():
        found = getattr(hook, '__self__', None)
        if isinstance(found, UseCheck):
            return found
    return None


def put_use_check(module: nn.Module) -> None:
    """Have a model checked, unless it is."""
    if find_use_check(module) is None:
        check = UseCheck()
        check.unused = module.__dict__.pop(KEPT, check.unused)
        module.register_forward_pre_hook(check.begin)
        module.register_forward_hook(check.end, always_call=True)


def drop_use_check(module: nn.Module) -> None:
    """Take the check off, if there is one; the next one is like it."""
    check = find_use_check(module)
    if check is not None and check.unused != UseCheck().unused:
        module.__dict__[KEPT] = check.unused
    for name in ('_forward_pre_hooks', '_forward_hooks'):
        hooks = getattr(module, name)
        for key, hook in list(hooks.items()):
            if check and getattr(hook, '__self__', None) is check:
                del hooks[key]
                module._forward_hooks_always_called.pop(key, None)
