# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates compared at equal skip ratios on labeled clips."""

import copy
from typing import Dict, List, Sequence, Tuple

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mask_plugins.core.patches import (
    StreamBinder,
    StreamState,
    build_gate,
    gated_layers,
    set_running_mode,
)
from mask_plugins.functional.relative_error import relative_l2
from mask_plugins.utils.checks import check_choice

KINDS = ('learned', 'threshold', 'random')
#: Least and greatest value of what moves the skip ratio of each kind.
RANGES = dict(learned=(-12.0, 12.0), threshold=(0.0, 2.0), random=(0.0, 1.0))
STEPS = 12


def load_clips(model: nn.Module, dataset) -> Tuple[Tensor, Tensor]:
    """All clips of a data set, normalized, and their labels.

    Args:
        model (nn.Module): With a data preprocessor.
        dataset (Dataset): Of packed clips of one shape.

    Returns:
        tuple[Tensor]: :math:`(B, T, C, H, W)` and :math:`(B,)`.
    """
    batch = pseudo_collate([dataset[i] for i in range(len(dataset))])
    data = model.data_preprocessor(batch, False)
    labels = torch.cat([s.gt_label for s in data['data_samples']])
    return data['inputs'], labels


def with_gates(model: nn.Module, kind: str, seed: int = 0) -> nn.Module:
    """A copy of a gated classifier with other gates in the same places.

    Args:
        model (nn.Module): With ``backbone``.
        kind (str): ``'learned'`` keeps its own; ``'threshold'`` or
            ``'random'``.
        seed (int): Of random gates. Defaults to 0.

    Raises:
        ValueError: If the kind is unknown, or the model's gates do not learn.
    """
    check_choice('kind', kind, KINDS)
    model = copy.deepcopy(model)
    for i, (name, layer) in enumerate(gated_layers(model.backbone).items()):
        if kind != 'learned':
            seeded = dict(seed=1000 * seed + i) if kind == 'random' else {}
            gate = dict(type=kind, patch_size=layer.gate.patch_size, **seeded)
            layer.gate = build_gate(gate)
        elif not list(layer.gate.parameters()):
            raise ValueError(f'the gate of {name} does not learn')
    set_running_mode(model, 'Test')
    model.eval()
    return model


def set_level(model: nn.Module, kind: str, level: float) -> None:
    """Set what moves the skip ratio of all gates, the same in all layers."""
    name = 'skip_ratio' if kind == 'random' else 'threshold'
    for layer in gated_layers(model.backbone).values():
        setattr(layer.gate, name, level)


def classify(model: nn.Module, feats) -> Tensor:
    """Scores of a classifier from the features of its backbone."""
    return model.head(model.neck(feats) if model.neck else feats)


@torch.no_grad()
def run_clips(model: nn.Module, clips: Tensor) -> Tuple[Tensor, Tensor, float]:
    """Sparse inference over clips, all of them at once as streams.

    Args:
        model (nn.Module): A gated classifier in eval mode.
        clips (Tensor): :math:`(B, T, C, H, W)`.

    Returns:
        tuple: Scores :math:`(B, T, K)`, last features
        :math:`(B, T, C, H, W)`, and the share of patches that were skipped,
        weighted by multiply-adds, without the first frame.
    """
    binder = StreamBinder(model.backbone)
    states = [StreamState(scene_cut=0) for _ in clips]
    scores, feats = [], []
    for t in range(clips.shape[1]):
        x = clips[:, t].contiguous(memory_format=torch.channels_last)
        with binder.bind(states, 'sparse'):
            out = model.extract_feat(x, 'backbone')
        feats.append(out[-1].clone())
        scores.append(classify(model, out))
    frames = clips.shape[1]
    later = max(frames - 1, 1)  # the first skips nothing
    stats = [s for state in states for s in state.stats().values()]
    skipped = sum(s.macs * (s.skip_ratio * frames / later) for s in stats)
    share = skipped / sum(s.macs for s in stats)
    return torch.stack(scores, 1), torch.stack(feats, 1), share


def find_level(
    model: nn.Module, kind: str, clips: Tensor, ratio: float
) -> float:
    """The level at which a kind of gate skips a share of the patches.

    Args:
        model (nn.Module): From :func:`with_gates`.
        kind (str): Of :data:`KINDS`.
        clips (Tensor): To calibrate on.
        ratio (float): Wanted, in (0, 1).
    """
    if kind == 'random':
        return ratio
    low, high = RANGES[kind]
    for _ in range(STEPS):
        middle = (low + high) / 2
        set_level(model, kind, middle)
        if run_clips(model, clips)[2] < ratio:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def compare_gates(
    model: nn.Module,
    calibration: Tensor,
    clips: Tensor,
    labels: Tensor,
    ratios: Sequence[float],
    seed: int = 0,
) -> List[Dict[str, float]]:
    """Agreement with the dense network by kind of gate and skip ratio.

    Args:
        model (nn.Module): A trained classifier with learned gates.
        calibration (Tensor): Clips that set the levels.
        clips (Tensor): Other clips, to judge on.
        labels (Tensor): Of these, B.
        ratios (Sequence[float]): Skip ratios that are aimed at.
        seed (int): Of random gates. Defaults to 0.

    Returns:
        list[dict]: ``kind``, ``ratio`` (aimed at), ``skip_ratio`` (on the
        clips that are judged), ``agreement`` and ``top1`` in percent,
        ``relative_l2``, ``dense_top1``.
    """
    dense = with_gates(model, 'learned')
    with torch.no_grad():
        feats = dense.extract_feat(clips.flatten(0, 1), 'backbone')
        target = classify(dense, feats).view(*clips.shape[:2], -1).argmax(-1)
    feats = feats[-1].unflatten(0, clips.shape[:2])
    records = []
    for kind in KINDS:
        gated = with_gates(model, kind, seed)
        for ratio in ratios:
            level = find_level(gated, kind, calibration, ratio)
            set_level(gated, kind, level)
            scores, found, skip_ratio = run_clips(gated, clips)
            top = scores.argmax(-1)[:, 1:]  # the first frame is dense
            error = relative_l2(found.flatten(0, 1), feats.flatten(0, 1))
            error = error.view(clips.shape[:2])
            truth = labels[:, None]
            records.append(
                dict(
                    kind=kind,
                    ratio=ratio,
                    level=level,
                    skip_ratio=skip_ratio,
                    agreement=_percent(top == target[:, 1:]),
                    top1=_percent(top == truth),
                    dense_top1=_percent(target[:, 1:] == truth),
                    relative_l2=float(error[:, 1:].mean()),
                )
            )
    return records


def _percent(hits: Tensor) -> float:
    return 100 * float(hits.float().mean())
