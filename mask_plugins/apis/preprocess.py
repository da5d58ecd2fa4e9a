# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a batch of a data loader to what a backbone takes."""

from typing import Any, Dict

import torch
from torch import Tensor, nn


def preprocess(model: nn.Module, batch: Dict[str, Any]) -> Tensor:
    """The images of a batch as the backbone takes them, on its device.

    Raises:
        ValueError: If images have several views.

    Examples:
        >>> preprocess(model, next(iter(loader)))  # doctest: +SKIP
        tensor(...)
    """
    batch = dict(batch)
    if hasattr(model, 'target_generator') and not isinstance(
        batch['inputs'], Tensor
    ):  # self-supervised algorithms take a list for views of an image
        views = batch['inputs']
        if views[0].ndim != 3:
            raise ValueError(
                f'images must have one view each, got {len(views)}: give the '
                'data set a pipeline without MultiView'
            )
        batch['inputs'] = torch.stack(tuple(views))
    return model.data_preprocessor(batch, False)['inputs']
