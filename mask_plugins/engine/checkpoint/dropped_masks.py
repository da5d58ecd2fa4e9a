# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks of a checkpoint that the model has no place for."""

import re
from typing import Any, Dict

from mmengine.runner import Runner

_MASK = re.compile(r'_mask\.(scores|logits)$')


def warn_of_dropped_masks(runner: Runner, checkpoint: Dict[str, Any]) -> None:
    """Warn where a model takes the bare weights of a masked one.

    mmengine lists the scores among the unexpected keys, after which the
    network computes with weights that no mask was trained for.

    Args:
        runner (Runner): Whose model is about to get the weights.
        checkpoint (dict): What was read.
    """
    state = checkpoint.get('state_dict')
    keys = [key for key in state or () if _MASK.search(str(key))]
    if not keys or any(map(_MASK.search, runner.model.state_dict())):
        return
    runner.logger.warning(
        f'the checkpoint has {len(keys)} masks, such as {keys[0]}, and the '
        'model has none: it gets the weights without their masks. '
        'tools/weights/apply_masks.py makes a stock checkpoint of masked '
        'weights'
    )
