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
from typing import Dict, List, Set, Tuple

from torch import nn

from .masked_module import stock_class

_READ = re.compile(r'\bself((?:\.[A-Za-z_]\w*)+)\.([A-Za-z_]\w*)\b')


def find_readers(
    model: nn.Module, owners: Dict[str, Set[str]]
) -> Dict[str, Tuple[str, ...]]:
    """Modules that read masked parameters of modules below them.

    Args:
        model (nn.Module): The model.
        owners (dict[str, set[str]]): Path of each module with masked
            parameters -> their names.

    Returns:
        dict[str, tuple[str]]: Path of the reader -> paths below it.
    """
    found: Dict[str, Tuple[str, ...]] = {}
    for path, module in model.named_modules():
        prefix = f'{path}.' if path else ''
        reads: List[str] = []
        for child, name in _reads(stock_class(module)):
            if name in owners.get(prefix + child, ()) and child not in reads:
                reads.append(child)
        if reads:
            found[path] = tuple(sorted(reads))
    return found


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
