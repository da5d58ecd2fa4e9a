# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy and speed of a gated classifier on labeled clips."""

import copy
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from mask_plugins.analysis.streams.stream_model import best_dense
from mask_plugins.core.patches import (
    StreamBinder,
    StreamState,
    apply_patch_gates,
    gated_layers,
    remove_patch_gates,
)
from mask_plugins.utils.timing import timed


def dense_and_gated(
    model: nn.Module, threshold: float
) -> Tuple[nn.Module, nn.Module]:
    """Backbones of a gated classifier: the best dense one, and a gated one.

    Both have their norms folded and are channels-last.

    Args:
        model (nn.Module): With a gated ``backbone``.
        threshold (float): Of all gates, relative to the map.
    """
    layers = gated_layers(model.backbone)
    convs = all(isinstance(layer, nn.Conv2d) for layer in layers.values())
    rules = [
        (
            name,
            'gate',
            dict(
                patch_size=layer.gate.patch_size,
                reuse=layer.reuse,
                break_even=layer.break_even,
                hidden=layer.hidden,
            ),
        )
        for name, layer in layers.items()
    ]
    dense = best_dense(remove_patch_gates(copy.deepcopy(model.backbone)))
    gated = apply_patch_gates(
        copy.deepcopy(dense),
        dict(type='threshold', threshold=threshold),
        place='conv' if convs else 'block',
        rules=[*rules, ('*', 'skip')],
    )
    gated.eval()
    return dense, gated


@torch.no_grad()
def measure_labeled(
    model: nn.Module,
    clips: Tensor,
    labels: Sequence[int],
    threshold: float,
    tick: Callable[[Iterable], Iterable] = iter,
) -> Dict[str, float]:
    """Both networks on the same frames, in turn, one stream at a time.

    Args:
        model (nn.Module): A trained gated classifier in eval mode.
        clips (Tensor): :math:`(B, T, C, H, W)`, normalized.
        labels (Sequence[int]): Of the clips.
        threshold (float): Of all gates.
        tick (Callable): Goes through an iterable, to show progress.

    Returns:
        dict: ``top1``, ``dense_top1``, ``agreement`` in percent;
        ``speed_up`` (sum of dense over sum of gated times, the first frame of
        each clip, which is computed in full, included), ``speed_up_later``
        without it; ``speed_up_p50``, of the medians, which a disturbed
        machine changes less; ``skip_ratio`` (multiply-adds, gates and
        halos counted);
        ``skipped_patches`` (share); ``dense_p50``, ``gated_p50``,
        ``dense_p95``, ``gated_p95`` in milliseconds.
    """
    dense, gated = dense_and_gated(model, threshold)
    binder = StreamBinder(gated)
    rows: List[Tuple[float, ...]] = []
    skips, patches = [], []
    for number in tick(range(len(clips))):
        state = StreamState()

        def run_gated(x, state=state):
            with binder.bind(state):
                return _scores(model, gated(x))

        runs = dict(dense=lambda x: _scores(model, dense(x)), gated=run_gated)
        for t, frame in enumerate(clips[number]):
            x = frame[None].contiguous(memory_format=torch.channels_last)
            took, top = {}, {}
            for name in list(runs)[:: 1 if t % 2 else -1]:
                seconds, scores = timed(runs[name], x)
                took[name] = 1000 * seconds
                top[name] = int(scores.argmax(1))
            truth = int(labels[number])
            rows.append(
                (t, took['dense'], took['gated'], top['gated'] == truth,
                 top['dense'] == truth, top['gated'] == top['dense'])
            )  # fmt: skip
        skips.append(state.skip_ratio())
        patches += [s.skip_ratio for s in state.stats().values()]
    t, dense_ms, gated_ms, *hits = np.array(rows).T
    later = t > 0
    top1, dense_top1, agreement = (100 * hit.mean() for hit in hits)
    return dict(
        threshold=threshold,
        frames=len(rows),
        top1=top1,
        dense_top1=dense_top1,
        agreement=agreement,
        speed_up=dense_ms.sum() / gated_ms.sum(),
        speed_up_p50=np.median(dense_ms) / np.median(gated_ms),
        speed_up_later=dense_ms[later].sum() / gated_ms[later].sum(),
        skip_ratio=float(np.mean(skips)),
        skipped_patches=float(np.mean(patches)),
        **{
            f'{name}_p{percent}': np.percentile(values, percent)
            for percent in (50, 95)
            for name, values in (('dense', dense_ms), ('gated', gated_ms))
        },
    )


def _scores(model: nn.Module, feats) -> Tensor:
    return model.head(model.neck(feats) if model.neck else feats)
