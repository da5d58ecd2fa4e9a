# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Keep weights and come back to them, as a mixin of modules."""

from typing import Any, Dict

from mask_plugins.core.weights.rewind_point import RewindPoint


class Rewindable:
    """Mixed into a module: ``checkpoint`` and ``rewind_weights``.

    All parameters and buffers but the masks are kept, and the point is part
    of the state dict (the original loses it on a restart). A second
    ``checkpoint`` changes nothing.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._point = RewindPoint()

    def checkpoint(self) -> None:
        """Keep the weights as they are now, unless that was done before."""
        self._point.take(self)

    def rewind_weights(self) -> None:
        """Bring the kept weights back, in place; masks stay as they are.

        Raises:
            RuntimeError: If nothing was kept (the original fills with zeros).
        """
        self._point.rewind(self)

    def get_extra_state(self) -> Dict[str, Any]:
        """What the state dict holds that is not a tensor of the module."""
        return dict(rewind=self._point.state_dict())

    def set_extra_state(self, state: Dict[str, Any]) -> None:
        """Take over what :meth:`get_extra_state` gave."""
        self._point.load_state_dict(state['rewind'])
