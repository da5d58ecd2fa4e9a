# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The gate that never errs."""

from .threshold import ThresholdGate


class ExactGate(ThresholdGate):
    """Patches whose window has changed at all are active.

    A layer with this gate gives what the dense one does, on every frame.

    Args:
        **kwargs: Of :class:`Gate`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(0.0, reduction='max', relative=False, **kwargs)
