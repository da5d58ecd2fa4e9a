# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The scores of a masked module, as the authors' code reaches them."""

from typing import Iterator

from torch import nn


class Scores(dict):
    """Name of the masked parameter -> its scores.

    Stands for the ``ParameterDict`` of the original, whose keys have ``_``
    for ``.``: ``scores['layer1_conv_weight']`` works next to
    ``scores['layer1.conv.weight']``. There, two names of the same key share
    one entry and the output is NaN; here such a key is an error and the names
    are to be used.
    """

    def parameters(self) -> Iterator[nn.Parameter]:
        """All scores, for an optimizer."""
        return iter(self.values())

    def __missing__(self, key: str) -> nn.Parameter:
        names = [name for name in self if flat_key(name) == key]
        if len(names) == 1:
            return self[names[0]]
        if names:
            raise KeyError(f'{key!r} may be any of {names}: use the name')
        raise KeyError(f'{key!r} is not masked, but {list(self)} are')


def flat_key(name: str) -> str:
    """The key that the original gives to a parameter."""
    return name.replace('.', '_')
