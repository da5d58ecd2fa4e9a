# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The heads of mmpretrain that our masked heads are once they are merged.

``mask_plugins.MaskedLinearClsHead`` is ``LinearClsHead`` with a bias of zeros,
or with hidden layers ``StackedLinearClsHead``; so is
``mask_plugins.MaskedConstantClsHead``, whose two layers add up to one.
"""

from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.core.composed import stock_class

MASKED_HEADS = ('MaskedLinearClsHead', 'MaskedConstantClsHead')
_OWN = ('mask', 'seed', 'hidden_channels', 'sign', 'parity')


def stock_head_config(config: Dict[str, Any]) -> Dict[str, Any]:
    """The config of the stock head.

    Args:
        config (dict): Of one of :data:`MASKED_HEADS`.

    Returns:
        dict: The same, with another ``type`` and without masks.

    Examples:
        >>> head = dict(type='mask_plugins.MaskedLinearClsHead', seed=0)
        >>> stock_head_config(dict(head, num_classes=3))
        {'type': 'LinearClsHead', 'num_classes': 3}
    """
    stock = {key: value for key, value in config.items() if key not in _OWN}
    hidden = list(config.get('hidden_channels') or ())
    if hidden:
        return dict(stock, type='StackedLinearClsHead', mid_channels=hidden)
    return dict(stock, type='LinearClsHead')


def masked_heads(model: nn.Module) -> List[Tuple[str, nn.Module]]:
    """Prefix of its keys and module, of each masked head of a model."""
    return [
        (f'{path}.' if path else '', module)
        for path, module in model.named_modules()
        if stock_class(module).__name__ in MASKED_HEADS
    ]


def stock_state(model: nn.Module) -> Dict[str, Tensor]:
    """The state dict of a merged model under the keys of the stock one.

    Args:
        model (nn.Module): A model without masks.

    Returns:
        dict[str, Tensor]: Not copied.
    """
    state = dict(model.state_dict())
    for prefix, head in masked_heads(model):
        state = {k: v for k, v in state.items() if not k.startswith(prefix)}
        weights = _weights(head)
        names = ['fc']
        if len(weights) > 1:
            names = [f'layers.{number}.fc' for number in range(len(weights))]
        for name, weight in zip(names, weights):
            state[f'{prefix}{name}.weight'] = weight
            state[f'{prefix}{name}.bias'] = torch.zeros_like(weight[:, 0])
    return state


def _weights(head: nn.Module) -> List[Tensor]:
    """The weights of the linear layers of a merged head, first to last."""
    if stock_class(head).__name__ == 'MaskedLinearClsHead':
        return [layer.weight.detach() for layer in (*head.hidden, head.fc)]
    if head.sign == 'dual':
        return [(head.positive.weight + head.negative.weight).detach() / 2]
    return [getattr(head, head.sign).weight.detach()]
