# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Find modules that read the weights of their children themselves.

A mask is applied in the forward of the module that owns the parameter. Where
another module reads the weight, as attention does with
``F.linear(x, self.qkv.weight)`` (BEiT, Swin v2) or
``nn.MultiheadAttention`` with ``self.out_proj.weight``, the mask would be
ignored without a word. So the source of every class is searched for them.
"""

import inspect
import re
from functools import lru_cache
from typing import Tuple

from torch import nn

from .masked_module import make_reader, masked_names, stock_class

_READ = re.compile(r'\bself((?:\.[A-Za-z_]\w*)+)\.([A-Za-z_]\w*)\b')


def attach_readers(model: nn.Module) -> None:
    """Have modules see the effective weights that they read, in place.

    Args:
        model (nn.Module): The model, its masks attached.
    """
    for module in list(model.modules()):
        children = dict(module.named_modules(remove_duplicate=False))
        paths = {
            path
            for path, name in _reads(stock_class(module))
            if path in children and name in masked_names(children[path])
        }
        if paths:
            make_reader(module, tuple(sorted(paths)))


@lru_cache(maxsize=None)
def _reads(cls: type) -> Tuple[Tuple[str, str], ...]:
    """(path of a child, name of its attribute), as the source has them."""
    found = set()
    for base in cls.__mro__:
        if base is nn.Module or not issubclass(base, nn.Module):
            continue
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):  # made at run time, or no file
            continue
        for path, name in _READ.findall(source):
            found.add((path[1:], name))
    return tuple(sorted(found))
