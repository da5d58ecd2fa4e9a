# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Thresholds from the first frames of a stream, and whether they pay."""

from typing import Callable, Mapping, Sequence

from torch import Tensor

from .gate_calibration import (
    GRID,
    ClipTrials,
    calibrate,
    measure_layer_costs,
)
from .gated_stream import GatedStream
from .stream_comparison import StreamComparison, summarize_stream

#: Frames over which gated and dense times are compared.
SPAN = 20


def calibrate_stream(
    stream: GatedStream,
    dense: Callable[[Tensor], Tensor],
    images: Sequence[Tensor],
    target_error: float = 0.1,
    log: Callable[[str], None] = lambda message: None,
) -> bool:
    """Set the thresholds of a stream for an error; dense if none gains.

    Args:
        stream (GatedStream): Changed, and reset.
        dense (Callable): From an input to the dense last feature.
        images (Sequence[Tensor]): Consecutive inputs, two or more.
        target_error (float): Mean relative L2 error. Defaults to 0.1.
        log (Callable): Told what was found. Defaults to nothing.

    Returns:
        bool: Whether the gated network is faster on these frames.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from mask_plugins.analysis.streams.gated_stream import gate_network
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
        >>> stream = GatedStream(gate_network(net, place='conv'))
        >>> calibrate_stream(stream, net, 3 * [torch.ones(1, 3, 16, 16)]) in (
        ...     True, False)
        True
    """
    costs = measure_layer_costs(stream, images[0])
    trials = ClipTrials(stream, [images], dense, costs)
    try:
        trial = calibrate(trials, GRID, target_error)
    except ValueError as error:
        log(str(error))
        run_dense(stream)
        return False
    even = {name: cost.break_even for name, cost in costs.items()}
    stream.set_thresholds(trial.thresholds, even)
    compared = StreamComparison(dense, stream, stream.skip_ratio)
    speed = summarize_stream(list(compared.run(images)))['speed_up']
    log(f'calibrated: error {trial.error:.3f}, speed-up {speed:.2f}')
    stream.reset()
    if speed <= 1:
        run_dense(stream)
    return speed > 1


def run_dense(stream: GatedStream) -> None:
    """Make all layers of a stream dense."""
    stream.set_thresholds(dict.fromkeys(stream.layers))


def still_gains(records: Sequence[Mapping[str, float]]) -> bool:
    """Whether the last frames were faster gated than dense.

    Args:
        records (Sequence[Mapping]): Of ``StreamComparison``; fewer than
            ``SPAN`` say nothing, and nor does the first.

    Examples:
        >>> still_gains(30 * [dict(dense_ms=2.0, gated_ms=3.0)])
        False
    """
    last = records[1:][-SPAN:]
    dense, gated = (
        sum(r[key] for r in last) for key in ('dense_ms', 'gated_ms')
    )
    return len(last) < SPAN or gated <= dense
