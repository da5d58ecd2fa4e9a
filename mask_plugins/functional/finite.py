# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""NaN and infinity in the parameters of a model."""

import torch
from torch import nn


def non_finite(model: nn.Module) -> str:
    """Name of the first parameter with NaN or inf, '' if there is none.

    Args:
        model (nn.Module): The model.

    Examples:
        >>> model = nn.Linear(1, 1)
        >>> non_finite(model)
        ''
        >>> _ = model.bias.data.fill_(float('nan'))
        >>> non_finite(model)
        'bias'
    """
    named = [
        (name, parameter.detach())
        for name, parameter in model.named_parameters()
        if parameter.is_floating_point()
    ]
    # One wait for the GPU, not one per parameter.
    finite = [parameter.isfinite().all() for _, parameter in named]
    if not finite or torch.stack(finite).all():
        return ''
    return next(name for (name, _), ok in zip(named, finite) if not ok)
