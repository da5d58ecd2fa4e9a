# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What an adapter file takes: bytes, time to load, time to switch."""

import os
import tempfile
from functools import partial
from typing import Callable, Dict

import torch
from torch import nn

from mask_plugins.core.weights import (
    activate_masks,
    active_masks,
    load_masks,
    mask_report,
    named_masks,
    pack_masks,
    unload_masks,
)
from mask_plugins.utils.timing import Case

from .statistics import spread_ms


def measure_adapters(
    base: nn.Module,
    masked: nn.Module,
    time: Callable[[Dict[str, Case]], Dict],
) -> dict:
    """Write adapters of two tasks, load them onto one base, switch.

    Loading reads the file, compares the hash of the base weights and
    switches to the masks; switching takes one task's masks and state off and
    puts the other's on.

    Args:
        base (nn.Module): Without masks.
        masked (nn.Module): The same weights, with masks.
        time (Callable): Times cases by name, see :func:`time_interleaved`.

    Returns:
        dict: Plain data. ``packed_bytes`` are the masks alone; the file has
        a header, norm buffers and the head next to them.
    """
    report = mask_report(masked)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f'{task}.safetensors') for task in 'ab']
        for task, path in zip('ab', paths):
            adapter = pack_masks(masked, path)
            load_masks(base, path, task, activate=False)
            with torch.no_grad():
                for item in named_masks(masked):
                    item.mask.scores.copy_(item.mask.scores.flip(0))

        def prepare_load() -> None:
            unload_masks(base, 'a')
            activate_masks(base, None)

        def load() -> None:
            load_masks(base, paths[0], 'a')

        def swap() -> None:
            other = 'b' if active_masks(base) == 'a' else 'a'
            activate_masks(base, other)

        start_swap = partial(activate_masks, base, 'a')
        cases = dict(
            load=Case(load, prepare_load), swap=Case(swap, start_swap)
        )
        times = time(cases)
        file_bytes = os.path.getsize(paths[0])
    activate_masks(base, None)
    state = base.state_dict().values()
    model_bytes = sum(t.numel() * t.element_size() for t in state)
    return dict(
        masked=report.size,
        density=report.density,
        packed_bytes=adapter.mask_bytes,
        state_bytes=adapter.state_bytes,
        file_bytes=file_bytes,
        fp32_bytes=report.float_bytes,
        model_bytes=model_bytes,
        packed_to_bits=adapter.mask_bytes / (report.size / 8),
        fp32_to_packed=report.float_bytes / adapter.mask_bytes,
        model_to_file=model_bytes / file_bytes,
        load_ms=spread_ms(times['load']),
        swap_ms=spread_ms(times['swap']),
    )
