# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checkpoints that the authors' class wrote."""

from collections import Counter
from typing import Any, Dict, Mapping

from mask_plugins.core.weights import ScoreMask

from .scores import flat_key


def translate_state(
    state: Dict[str, Any], prefix: str, masks: Mapping[str, ScoreMask]
) -> None:
    """Rename the keys of the original to ours, in place; ours stay.

    The original stores ``scores.conv_weight``, the base weight as
    ``data.conv_weight``, and under ``model_shell.conv.weight`` whatever the
    last forward computed with. The scores and the base weight are taken; what
    the forward left is dropped.

    Args:
        state (dict): The state dict.
        prefix (str): That of the wrapper within it.
        masks (Mapping[str, ScoreMask]): Name of each masked parameter of the
            wrapped module -> its mask, whose k stays.

    Raises:
        RuntimeError: If two names have the same key there: their scores
            cannot be told apart.
    """
    counts = Counter(flat_key(name) for name in masks)
    for name, mask in masks.items():
        key = flat_key(name)
        old = f'{prefix}scores.{key}'
        if old not in state:
            continue
        if counts[key] > 1:
            raise RuntimeError(
                f'{old} of the checkpoint may belong to any of '
                f'{[n for n in masks if flat_key(n) == key]}'
            )
        ours = f'{prefix}model_shell.{name}'
        state[f'{ours}_mask.scores'] = state.pop(old)
        state[f'{ours}_mask.setting_bits'] = mask.setting_bits
        if f'{prefix}data.{key}' in state:
            state[ours] = state.pop(f'{prefix}data.{key}')
