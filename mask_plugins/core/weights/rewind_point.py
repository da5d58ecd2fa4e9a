# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The weights that a ticket is rewound to."""

from typing import Any, Dict, Optional

import torch
from torch import Tensor, nn

from .named_masks import base_state


class RewindPoint:
    """All parameters and buffers of a model at one time, without its masks.

    Norm statistics and their counters are in it. A second :meth:`take` is
    ignored, so that nothing that comes later replaces the point.

    Examples:
        >>> layer, point = nn.Linear(2, 1), RewindPoint()
        >>> point.take(layer)
        True
        >>> _ = layer.weight.data.zero_()
        >>> point.rewind(layer)
        >>> bool(layer.weight.any())
        True
    """

    def __init__(self) -> None:
        self._state: Optional[Dict[str, Tensor]] = None

    def take(self, model: nn.Module) -> bool:
        """Copy the state, unless that was done; whether it was now."""
        if self._state is not None:
            return False
        self._state = {
            key: value.detach().cpu().clone()
            for key, value in base_state(model).items()
        }
        return True

    @torch.no_grad()
    def rewind(self, model: nn.Module) -> None:
        """Write the state back, in place; masks stay as they are.

        Args:
            model (nn.Module): The model that it was taken of.

        Raises:
            RuntimeError: If nothing was taken, or the model has other keys.
        """
        if self._state is None:
            raise RuntimeError('nothing to rewind to: call checkpoint() first')
        state = base_state(model)
        wrong = sorted(set(state) ^ set(self._state))
        if wrong:
            raise RuntimeError(
                f'the model has changed since its weights were kept: {wrong}'
            )
        for key, value in state.items():
            value.data.copy_(self._state[key])

    def state_dict(self) -> Dict[str, Any]:
        """What a checkpoint has to hold."""
        return dict(self._state or {})

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; an empty one is none."""
        self._state = dict(state) or None
