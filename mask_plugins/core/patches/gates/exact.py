# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The gate that skips only what has not changed."""

from .threshold import ThresholdGate


class ExactGate(ThresholdGate):
    """Patches whose window has changed at all are active.

    A layer with this gate gives what the dense one does, on every frame:
    exactly the same patches would be computed to the same values. Both are
    sums of the same products, but a kernel for tiles may add them up in
    another order than one for whole maps, and folded norms round once more.
    So "exact" means equal up to rounding: relative to the largest value of
    the map, about the precision times the square root of the number of terms
    of a sum, for each layer in turn.

    Args:
        **kwargs: Of :class:`Gate`.

    Examples:
        >>> import torch
        >>> x = torch.zeros(1, 3, 8, 16)
        >>> ExactGate()(x + 1e-6, x), ExactGate()(x, x).any()
        (tensor([[[True, True]]]), tensor(False))
    """

    ages = False

    def __init__(self, **kwargs) -> None:
        super().__init__(0.0, reduction='max', relative=False, **kwargs)
