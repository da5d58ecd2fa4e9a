# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How often each place of the image is kept over a data set."""

from typing import Any, Dict, Iterable, Sequence

import torch
from torch import nn

from mask_plugins.apis.model import set_drop_ratio
from mask_plugins.apis.preprocess import preprocess


@torch.no_grad()
def count_kept_patches(
    model: nn.Module,
    batches: Iterable[Dict[str, Any]],
    drop_ratios: Sequence[float],
) -> Dict[str, Any]:
    """Count how often each patch was kept.

    Args:
        model (nn.Module): What :func:`load_model` returned.
        batches (Iterable): Collated batches.
        drop_ratios (Sequence[float]): Shares of tokens dropped.

    Returns:
        dict: ``drop_ratios``; ``counts``, per ratio one number per patch, row
        by row, the class token left out; ``grid`` (rows, columns);
        ``num_images``; ``scorer``.
    """
    backbone = model.backbone
    prefix = backbone.num_extra_tokens
    rows, columns = backbone.patch_resolution
    size = prefix + rows * columns
    counts = torch.zeros(len(drop_ratios), size, dtype=torch.int64)
    num_images = 0
    try:
        for batch in batches:
            images = preprocess(model, batch)
            num_images += len(images)
            for number, ratio in enumerate(drop_ratios):
                set_drop_ratio(model, ratio)
                (_, tokens), _ = backbone.get_patch_info(images)
                counts[number] += torch.bincount(tokens, minlength=size).cpu()
    finally:
        set_drop_ratio(model, 0.0)
    return dict(
        drop_ratios=list(drop_ratios),
        counts=counts[:, prefix:].tolist(),
        grid=[rows, columns],
        num_images=num_images,
        scorer=backbone.scorer,
    )
