# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy and speed of a gated classifier on labeled clips."""

import copy
from typing import Callable, Dict, Iterable, Sequence, Union

import numpy as np
import torch
from torch import Tensor, nn

from mask_plugins.analysis.streams.dense_rivals import Rival
from mask_plugins.analysis.streams.gate_comparison import classify
from mask_plugins.analysis.streams.gated_stream import GatedStream, gate_alike
from mask_plugins.analysis.streams.stream_comparison import (
    StreamComparison,
    summarize_stream,
)
from mask_plugins.analysis.streams.stream_model import best_dense
from mask_plugins.core.patches import remove_patch_gates


def dense_backbone(model: nn.Module) -> nn.Module:
    """The backbone of a gated classifier without its gates.

    Its norms are folded, and it is channels-last.

    Args:
        model (nn.Module): With a gated ``backbone``.
    """
    return best_dense(remove_patch_gates(copy.deepcopy(model.backbone)))


def gated_backbone(model: nn.Module, threshold: float) -> nn.Module:
    """:func:`dense_backbone` with threshold gates where the model has gates.

    Args:
        model (nn.Module): With a gated ``backbone``.
        threshold (float): Of all gates, relative to the map.
    """
    gate = dict(type='threshold', threshold=threshold)
    return gate_alike(dense_backbone(model), model.backbone, gate)


@torch.no_grad()
def measure_labeled(
    model: nn.Module,
    rival: Rival,
    clips: Tensor,
    labels: Sequence[int],
    threshold: float,
    tick: Callable[[Iterable], Iterable] = iter,
) -> Dict[str, Union[str, float]]:
    """Both networks on the same frames, in turn, one stream at a time.

    Args:
        model (nn.Module): A trained gated classifier in eval mode.
        rival (Rival): The dense form of its backbone to compare with.
        clips (Tensor): :math:`(B, T, C, H, W)`, normalized.
        labels (Sequence[int]): Of the clips.
        threshold (float): Of all gates.
        tick (Callable): Goes through an iterable, to show progress.

    Returns:
        dict: ``dense``, the name of the rival; ``top1``, ``dense_top1``,
        ``agreement`` in percent;
        ``speed_up`` (sum of dense over sum of gated times, the first frame of
        each clip, which is computed in full, included), ``speed_up_later``
        without it; ``speed_up_p50``, of the medians, which a disturbed
        machine changes less; ``skip_ratio`` (multiply-adds, gates and
        halos counted);
        ``skipped_patches`` (share); ``dense_p50``, ``gated_p50``,
        ``dense_p95``, ``gated_p95`` in milliseconds.
    """
    gated = gated_backbone(model, threshold)
    records, hits, skips, patches = [], [], [], []
    for number in tick(range(len(clips))):
        stream = GatedStream(gated)
        comparison = StreamComparison(
            lambda x: classify(model, (rival.step(x),)),
            lambda x, stream=stream: classify(model, (stream(x),)),
            stream.skip_ratio,
            head=lambda scores: scores,
        )
        for frame in clips[number]:
            x = frame[None].contiguous(memory_format=torch.channels_last)
            records.append(comparison.step(x))
            hit = {k: v == labels[number] for k, v in comparison.top.items()}
            hits.append((float(hit['gated']), float(hit['dense'])))
        skips.append(stream.state.skip_ratio())
        patches += [s.skip_ratio for s in stream.state.stats().values()]
    found = summarize_stream(records, warmup=0)
    later = summarize_stream([r for r in records if r['frame']], warmup=0)
    top1, dense_top1 = 100 * np.mean(hits, axis=0)
    names = ('dense_p50', 'gated_p50', 'dense_p95', 'gated_p95')
    return dict(
        dense=rival.name,
        threshold=threshold,
        frames=len(records),
        top1=top1,
        dense_top1=dense_top1,
        agreement=100 * found['agreement'],
        speed_up=found['speed_up'],
        speed_up_p50=found['dense_p50'] / found['gated_p50'],
        speed_up_later=later['speed_up'],
        skip_ratio=float(np.mean(skips)),
        skipped_patches=float(np.mean(patches)),
        **{name: found[name] for name in names},
    )
