# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A gated network on one video at several thresholds."""

from typing import Any, Dict, List, Sequence

from mask_plugins.utils.progress import track

from .cli import Setup
from .frame_source import to_input
from .stream_comparison import StreamComparison, summarize_stream


def sweep_thresholds(
    setup: Setup, thresholds: Sequence[float], given: bool = False
) -> List[Dict[str, Any]]:
    """Run the video once per threshold, next to the dense network.

    Args:
        setup (Setup): Frames and networks.
        thresholds (Sequence[float]): One for all gates at a time.
        given (bool): Whether to run the gates as they are, first. Defaults to
            False.

    Returns:
        list[dict]: Of :func:`summarize_stream`, with ``threshold`` (None for
        the gates as they are) and ``name``.

    Raises:
        ValueError: If a threshold is negative, or there is none.
    """
    if not thresholds or min(thresholds) < 0:
        raise ValueError(f'thresholds must be 0 or more, got {thresholds}')
    dense, stream, rows = setup.dense, setup.stream, []
    for threshold in [None] * given + sorted(set(thresholds)):
        name, names = 'per layer', ()
        if threshold is not None:
            name, names = f'{threshold:g}', stream.layers
        stream.set_thresholds(dict.fromkeys(names, threshold))  # resets it
        comparison = StreamComparison(
            dense, stream, stream.skip_ratio, setup.head
        )
        frames = track(setup.frames, f'threshold {name}, frames')
        records = list(comparison.run(map(to_input, frames)))
        summary = summarize_stream(records)
        rows.append(dict(summary, threshold=threshold, name=name))
    return rows
