# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which patches of given images a model keeps, and what it then says."""

from typing import Any, Dict, List, Optional, Sequence

import torch
from torch import Tensor, nn

from mask_plugins.apis.model import set_drop_ratio

DROP_RATIOS = (0.0, 0.2, 0.4, 0.6, 0.8)


@torch.no_grad()
def collect_patches(
    model: nn.Module,
    images: Tensor,
    targets: Sequence[Optional[int]],
    drop_ratios: Sequence[float] = DROP_RATIOS,
) -> Dict[str, Any]:
    """Collect what ``image_patches.json`` holds of a model.

    Args:
        model (nn.Module): What :func:`load_model` returned.
        images (Tensor): Preprocessed, :math:`(B, 3, h, w)`.
        targets (Sequence[int | None]): True classes, None where unknown.
        drop_ratios (Sequence[float]): Shares of tokens dropped.

    Returns:
        dict: ``drop_ratios``; ``images``, normalized; ``targets``;
        ``kept_patches``, per ratio the pair (image, token) of index lists,
        token 0 being the class token; ``logits``, per ratio and image;
        ``grid`` (rows, columns); ``num_prefix_tokens``; ``scorer``.
    """
    backbone = model.backbone
    kept: List[List[List[int]]] = []
    logits: List[List[List[float]]] = []
    try:
        for ratio in drop_ratios:
            set_drop_ratio(model, ratio)
            (rows, tokens), _ = backbone.get_patch_info(images)
            kept.append([rows.tolist(), tokens.tolist()])
            logits.append(model(images, mode='tensor').float().tolist())
    finally:
        set_drop_ratio(model, 0.0)
    return dict(
        drop_ratios=list(drop_ratios),
        # Half a gray level is 8e-3.
        images=images.double().cpu().numpy().round(4).tolist(),
        targets=list(targets),
        kept_patches=kept,
        logits=logits,
        grid=list(backbone.patch_resolution),
        num_prefix_tokens=backbone.num_extra_tokens,
        scorer=backbone.scorer,
    )


def class_to_idx(names: Optional[Sequence[str]]) -> Dict[str, int]:
    """Numbers of the classes; a name that occurs again gets its number.

    ImageNet has two classes called "crane" and two called "maillot".

    Examples:
        >>> class_to_idx(['crane', 'dog', 'crane'])
        {'crane': 0, 'dog': 1, 'crane (2)': 2}
    """
    numbers: Dict[str, int] = {}
    for number, name in enumerate(names or ()):
        name = str(name)
        numbers[f'{name} ({number})' if name in numbers else name] = number
    return numbers


def normalization(model: nn.Module) -> Dict[str, List[float]]:
    """Mean and standard deviation by which images were normalized."""
    preprocessor = model.data_preprocessor
    if getattr(preprocessor, '_enable_normalize', False):
        return dict(
            mean=preprocessor.mean.flatten().tolist(),
            std=preprocessor.std.flatten().tolist(),
        )
    return dict(mean=[0.0], std=[1.0])
