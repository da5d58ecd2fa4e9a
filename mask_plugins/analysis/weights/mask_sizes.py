# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Bytes of masks, packed and compressed, next to those of float weights."""

import bz2
import lzma
import zlib
from typing import Any, Dict, List, Optional

import numpy as np

from mask_plugins.core.weights import Adapter, MaskReport
from mask_plugins.core.weights.report import MaskRow
from mask_plugins.utils.progress import track

CODECS = dict(
    zlib=lambda data: zlib.compress(data, 9),
    bz2=lambda data: bz2.compress(data, 9),
    lzma=lambda data: lzma.compress(data, preset=9),
)


def count_bits(packed: np.ndarray) -> int:
    """How many bits are on.

    Args:
        packed (np.ndarray): uint8.

    Examples:
        >>> count_bits(np.array([1, 3, 128], np.uint8))
        4
    """
    return int(np.unpackbits(packed).sum(dtype=np.int64))


def adapter_report(adapter: Adapter) -> MaskReport:
    """What the masks of an adapter keep, without a model.

    Args:
        adapter (Adapter): The adapter.

    Returns:
        MaskReport: Its ``parameters`` are those of the whole model where the
        adapter knows them, else the masked ones.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear, pack_masks
        >>> adapter_report(pack_masks(SoftMaskLinear(8, 2))).size
        16
    """
    rows = []
    for name, packed in adapter.masks.items():
        shape = tuple(adapter.settings[name]['shape'])
        size = int(np.prod(shape, dtype=np.int64))
        kept = count_bits(packed.numpy())
        density = kept / size if size else 0.0
        rows.append(MaskRow(name, shape, size, kept, density, True))
    total = sum(row.size for row in rows)
    return MaskReport(rows, adapter.info.get('parameters', total))


def measure_sizes(
    adapter: Adapter, model_bytes: Optional[int] = None
) -> List[Dict[str, Any]]:
    """Bytes of what a task needs, next to those of fine-tuned weights.

    Args:
        adapter (Adapter): The adapter.
        model_bytes (int, optional): Of all weights and buffers of a
            fine-tuned model. Defaults to None: what the adapter says, and
            without that the masked weights and the state alone, as floats.

    Returns:
        list[dict]: Rows with ``name``, ``bytes`` and ``times_smaller``: than
        the fine-tuned model, for masks alone than its masked weights.
    """
    data = b''.join(
        packed.numpy().tobytes() for packed in adapter.masks.values()
    )
    weights = 4 * adapter_report(adapter).size
    state = adapter.state_bytes
    model = model_bytes or adapter.info.get('model_bytes') or weights + state
    rows = [
        _row('fine-tuned model, float', model, model),
        _row('  its masked weights, float32', weights, weights),
        _row('masks, 1 bit per weight', len(data), weights),
    ]
    compressed = {
        name: len(CODECS[name](data))
        for name in track(list(CODECS), 'compression, methods')
    }
    smallest = min(len(data), *compressed.values())
    rows += [_row(f'masks, {k}', x, weights) for k, x in compressed.items()]
    rows += [
        _row('norm buffers, head, other state', state, model),
        _row('adapter: masks and state', len(data) + state, model),
        _row('adapter, masks compressed', smallest + state, model),
    ]
    return rows


def _row(name: str, size: int, whole: int) -> Dict[str, Any]:
    times = whole / size if size else None
    return dict(name=name, bytes=size, times_smaller=times)
