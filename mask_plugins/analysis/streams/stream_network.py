# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A network for streams: dense, gated, its head and its pixels."""

import copy
import os.path as osp
from functools import partial
from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mask_plugins.core.patches import remove_patch_gates

from .frame_source import to_input
from .gate_comparison import classify
from .gated_stream import PATCH_SIZES, gate_alike, gate_network
from .stream_model import best_dense, random_head, random_resnet


class StreamNetwork(NamedTuple):
    """What is run over a video.

    Args:
        dense (nn.Module): The backbone, see :func:`best_dense`.
        gated (Callable): From a gate, as of ``apply_patch_gates``, to a gated
            copy of ``dense``.
        head (Callable): From the last feature to scores of classes.
        to_input (Callable): From a frame, uint8 RGB, to an input.
        title (str): For pictures and tables.
    """

    dense: nn.Module
    gated: Callable[..., nn.Module]
    head: Callable[[Tensor], Tensor]
    to_input: Callable[[np.ndarray], Tensor]
    title: str


def random_network(
    frames: Sequence[np.ndarray],
    depth: int = 18,
    seed: int = 0,
    place: str = 'block',
    patch_sizes: Optional[Sequence[int]] = None,
) -> StreamNetwork:
    """A ResNet of random weights, norms calibrated on some frames.

    Args:
        frames (Sequence[np.ndarray]): uint8 RGB.
        depth (int): See :func:`random_resnet`. Defaults to 18.
        seed (int): Of the weights. Defaults to 0.
        place (str): As of ``apply_patch_gates``. Defaults to ``'block'``.
        patch_sizes (Sequence[int], optional): See :func:`gate_network`.
            Defaults to None: PATCH_SIZES.

    Examples:
        >>> frames = [np.zeros((64, 64, 3), np.uint8)]
        >>> random_network(frames).title
        'ResNet-18, random weights'
    """
    backbone = random_resnet(map(to_input, frames), depth, seed)
    dense = best_dense(backbone)
    return StreamNetwork(
        dense,
        partial(
            gate_network,
            dense,
            place=place,
            patch_sizes=patch_sizes or PATCH_SIZES,
        ),
        random_head(backbone.feat_dim, seed),
        to_input,
        f'ResNet-{depth}, random weights',
    )


def trained_network(
    config: str,
    checkpoint: str,
    place: str = 'block',
    patch_sizes: Optional[Sequence[int]] = None,
) -> StreamNetwork:
    """The trained classifier of a config.

    Args:
        config (str): Its ``backbone`` has gates, whose places and patches are
            taken.
        checkpoint (str): Its weights.
        place (str): Of ``patch_sizes``. Defaults to ``'block'``.
        patch_sizes (Sequence[int], optional): Of the stages of a ResNet: see
            :func:`gate_network`. Defaults to None: as the config says.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the weights do not fit.

    Examples:
        >>> trained_network('no.py', 'no.pth')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        FileNotFoundError: config: file not found: no.py; ...
    """
    from mask_plugins.apis.config import check_file, load_config
    from mask_plugins.apis.model import load_trained_model

    check_file(config, 'config')
    check_file(checkpoint, 'checkpoint')
    model = load_trained_model(load_config(config), checkpoint)
    dense = best_dense(remove_patch_gates(copy.deepcopy(model.backbone)))
    if patch_sizes is None:
        gated = partial(gate_alike, dense, model.backbone)
    else:
        gated = partial(
            gate_network, dense, place=place, patch_sizes=patch_sizes
        )

    pixels = {
        key: getattr(model.data_preprocessor, key).flatten().tolist()
        for key in ('mean', 'std')
    }
    name = osp.splitext(osp.basename(config))[0]
    head = torch.no_grad()(lambda feature: classify(model, (feature,)))
    return StreamNetwork(dense, gated, head, partial(to_input, **pixels), name)
