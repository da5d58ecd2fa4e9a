# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much the masks of several tasks have in common."""

import math
from itertools import combinations
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from mask_plugins.core.weights import Adapter
from mask_plugins.utils.first_few import first_few

from .mask_sizes import count_bits


class _Counts(NamedTuple):
    """Numbers of one layer, or sums of layers, of two masks."""

    size: float
    kept_a: float
    kept_b: float
    both: float
    expected: float
    variance: float


def compare_adapters(adapters: Mapping[str, Adapter]) -> Dict[str, Any]:
    """Overlap of each pair of adapters, per layer and in total.

    With n weights of which masks keep a and b, and both keep c: the agreement
    is the share of weights that both keep or both remove, the Jaccard index
    of what is kept is c / (a + b - c), and likewise of what is removed.
    Independent masks of these densities have a * b / n weights in common on
    average; ``z`` says how many standard deviations (hypergeometric) the
    overlap is above that.

    Args:
        adapters (Mapping): Name to adapter, at least two.

    Returns:
        dict: ``names``, ``densities`` (of the layers that are compared),
        ``notes``, and ``pairs``, each with ``a``, ``b``, ``total`` and
        ``layers``. An index is None where both masks are empty.

    Raises:
        ValueError: If there are fewer than two, or no layer that all have in
            the same shape.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear, pack_masks
        >>> adapter = pack_masks(SoftMaskLinear(8, 2, mask_init=1.0))
        >>> found = compare_adapters(dict(a=adapter, b=adapter))
        >>> found['pairs'][0]['total']['agreement']
        1.0
    """
    if len(adapters) < 2:
        raise ValueError('two or more adapters are needed to compare them')
    layers, notes = _common(adapters)
    hashes = {adapter.base_sha256 for adapter in adapters.values()}
    if len(hashes) > 1:
        notes.append(
            'the adapters belong to different base weights: a weight of one '
            'is not that of another'
        )
    packed = {
        name: {key: adapter.masks[key].numpy() for key in layers}
        for name, adapter in adapters.items()
    }
    sizes = {key: _size(next(iter(adapters.values())), key) for key in layers}
    pairs = []
    for a, b in combinations(adapters, 2):
        counts = {
            key: _count(sizes[key], packed[a][key], packed[b][key])
            for key in layers
        }
        total = _Counts(*(sum(column) for column in zip(*counts.values())))
        rows = [dict(name=key, **_measure(counts[key])) for key in layers]
        pairs.append(dict(a=a, b=b, total=_measure(total), layers=rows))
    size = sum(sizes.values())
    densities = {
        name: sum(map(count_bits, masks.values())) / size
        for name, masks in packed.items()
    }
    return dict(
        names=list(adapters), densities=densities, pairs=pairs, notes=notes
    )


def _common(adapters: Mapping[str, Adapter]) -> Tuple[List[str], List[str]]:
    """Layers that all have in one shape, and a note about the others."""
    first, *others = adapters.values()
    layers = [
        key
        for key, settings in first.settings.items()
        if all(
            settings['shape'] == other.settings.get(key, {}).get('shape')
            for other in others
        )
        and _size(first, key)
    ]
    union = {key for adapter in adapters.values() for key in adapter.masks}
    if not layers:
        raise ValueError(
            'the adapters have no layer in common, of the same name and '
            f'shape: {first_few(sorted(union))}'
        )
    left = sorted(union - set(layers))
    note = f'{len(left)} masks are not in all adapters with the same shape: '
    return layers, [note + first_few(left)] if left else []


def _size(adapter: Adapter, key: str) -> int:
    return math.prod(adapter.settings[key]['shape'])


def _count(size: int, a: np.ndarray, b: np.ndarray) -> _Counts:
    kept_a, kept_b = count_bits(a), count_bits(b)
    # Bits beyond the last weight are 0 in both.
    both = count_bits(a & b)
    expected = kept_a * kept_b / size
    variance = expected * (size - kept_a) * (size - kept_b) / size
    variance /= max(1, size - 1)
    return _Counts(size, kept_a, kept_b, both, expected, variance)


def _measure(counts: _Counts) -> Dict[str, Optional[float]]:
    size, kept_a, kept_b, both, expected, variance = counts
    kept = kept_a + kept_b
    found = dict(size=size, kept_a=kept_a, kept_b=kept_b, kept_by_both=both)
    for prefix, common in (('', both), ('expected_', expected)):
        removed = size - kept + common  # by both
        found[f'{prefix}agreement'] = (common + removed) / size
        found[f'{prefix}jaccard_kept'] = _share(common, kept - common)
        found[f'{prefix}jaccard_removed'] = _share(removed, size - common)
    found['z'] = _share(both - expected, math.sqrt(variance))
    return found


def _share(part: float, whole: float) -> Optional[float]:
    return part / whole if whole else None
