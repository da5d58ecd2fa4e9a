# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where the patches of a map lie, and what each of them depends on."""

from typing import NamedTuple, Tuple

Pair = Tuple[int, int]


class PatchWindow(NamedTuple):
    """A grid of patches and the window of pixels that each depends on.

    Patch (i, j) owns pixels from (i * patch[0], j * patch[1]) and depends on
    those from (i * patch[0] - before[0], ...) over ``size``: the receptive
    field of the outputs that are cached for it. Windows may stick out of the
    map, where it counts as zero.

    Args:
        patch (tuple[int, int]): Height and width of a patch in pixels.
        before (tuple[int, int]): Pixels that a window starts before its
            patch; negative where it starts after.
        size (tuple[int, int]): Height and width of a window.
        grid (tuple[int, int]): Number of patches down and across.
    """

    patch: Pair
    before: Pair
    size: Pair
    grid: Pair

    @classmethod
    def plain(
        cls, height: int, width: int, patch: Pair, halo: int = 0
    ) -> 'PatchWindow':
        """Patches that cover a map, the last ones sticking out if need be.

        Args:
            height (int): Of the map.
            width (int): Of the map.
            patch (tuple[int, int]): Height and width of a patch.
            halo (int): Pixels that a window has around its patch.
                Defaults to 0.
        """
        grid = (-(-height // patch[0]), -(-width // patch[1]))
        size = (patch[0] + 2 * halo, patch[1] + 2 * halo)
        return cls(tuple(patch), (halo, halo), size, grid)


def pair(value, name: str, least: int = 1) -> Pair:
    """Height and width from one number or two.

    Raises:
        ValueError: If they are no whole numbers of at least ``least``.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * 2
    whole = all(
        isinstance(v, int) and not isinstance(v, bool) and v >= least
        for v in values
    )
    if len(values) != 2 or not whole:
        raise ValueError(
            f'{name} must be an int or a pair of ints >= {least}, got '
            f'{value!r}'
        )
    return values
