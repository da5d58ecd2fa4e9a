# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One batch whose rows belong to different adapters."""

from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor, nn

from .adapter_switching import activate_masks, active_masks, loaded_masks


@torch.no_grad()
def apply_adapters(
    model: nn.Module,
    batch: Tensor,
    names: Sequence[Optional[str]],
    forward: Optional[Callable[[Tensor], Any]] = None,
) -> Any:
    """Run each row of a batch with the masks of its adapter.

    Rows are grouped by adapter, and the model switches once per group: bits
    are copied into the masks that are there, and the base exists once. The
    adapter that was active is active again afterwards.

    Args:
        model (nn.Module): In eval mode, with adapters from
            :func:`mask_plugins.load_masks`.
        batch (Tensor): :math:`(B, ...)`.
        names (Sequence[str | None]): Adapter of each row; None is the base.
        forward (Callable, optional): What to call instead of ``model``, such
            as ``model.extract_feat``. Defaults to None.

    Returns:
        Any: What the model returns for the batch: a tensor :math:`(B, ...)`
        or a tuple, list or dict of such.

    Raises:
        ValueError: If the model is in training mode, or there is not one name
            per row.
        KeyError: If an adapter is not loaded; nothing is computed.
        TypeError: If the model returns anything else.

    Examples:
        >>> from mask_plugins.core import weights
        >>> net = weights.SoftMaskLinear(2, 3)
        >>> adapter = weights.pack_masks(net)
        >>> base = weights.remove_weight_masks(net).requires_grad_(False)
        >>> base = weights.load_masks(base.eval(), adapter, 'task')
        >>> apply_adapters(base, torch.ones(2, 2), ['task', None]).shape
        torch.Size([2, 3])
    """
    if model.training:
        raise ValueError(
            'apply_adapters: the model must be in eval mode, since statistics '
            'of norms belong to an adapter'
        )
    if len(names) != len(batch):
        raise ValueError(
            f'names must have one adapter per row, got {len(names)} for '
            f'{len(batch)} rows'
        )
    known = [None, *loaded_masks(model)]
    unknown = sorted({str(name) for name in names if name not in known})
    if unknown:
        raise KeyError(f'no adapter {unknown} is loaded, only {known[1:]}')
    rows: Dict[Optional[str], List[int]] = {}
    for index, name in enumerate(names):
        rows.setdefault(name, []).append(index)
    before = active_masks(model)
    found, order = [], []
    rows = rows or {before: []}  # an empty batch has an output too
    try:
        # The one that is active first: it needs no switch.
        for name in sorted(rows, key=lambda name: name != before):
            activate_masks(model, name)
            index = torch.tensor(rows[name], dtype=torch.long)
            found.append((forward or model)(batch[index.to(batch.device)]))
            order += rows[name]
    finally:
        activate_masks(model, before)
    return _merged(found, torch.tensor(order, dtype=torch.long).argsort())


def _merged(parts: List[Any], order: Tensor) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)[order.to(parts[0].device)]
    kind = type(parts[0])
    if isinstance(parts[0], dict):  # transformers' outputs are such
        return kind(
            **{k: _merged([p[k] for p in parts], order) for k in parts[0]}
        )
    if isinstance(parts[0], (tuple, list)):
        make = getattr(kind, '_make', kind)  # of a named tuple
        return make(_merged(list(one), order) for one in zip(*parts))
    if parts[0] is None:
        return None
    raise TypeError(
        'apply_adapters: the model must return tensors, or tuples, lists or '
        f'dicts of such, got {kind.__name__}'
    )
