# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""ResNets of torchvision, timm, SwAV, DINO and MoCo, under mmpretrain's names.

All of them name the layers of the network as torchvision does; they differ in
the entry of the file, the prefix, and the heads around it.
"""

import re
from typing import Dict, NamedTuple, Tuple

from torch import Tensor

from mask_plugins.utils.checks import check_choice

from .vit import Conversion


class Source(NamedTuple):
    """Where a repository keeps the backbone.

    Args:
        key (str): Entry of its files; a bare state dict is taken as it is.
        prefixes (tuple[str]): What may stand before the names.

    Examples:
        >>> Source('state_dict', ('module.encoder_q.',)).key
        'state_dict'
    """

    key: str
    prefixes: Tuple[str, ...]


#: Name of a source -> where its files have the backbone.
SOURCES: Dict[str, Source] = {
    'torchvision': Source('model', ('', 'module.')),
    'timm': Source('state_dict', ('', 'module.')),
    'swav': Source('state_dict', ('module.', '')),
    'dino': Source('teacher', ('module.backbone.', 'backbone.', '')),
    'moco': Source('state_dict', ('module.encoder_q.',)),
}
_BACKBONE = re.compile(
    r'(conv1|bn1|layer[1-4]\.\d+\.(conv[123]|bn[123]|downsample\.[01]))\.'
    r'(weight|bias|running_mean|running_var|num_batches_tracked)'
)
_DEPTHS = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}


def convert_resnet(
    weights: Dict[str, Tensor], source: str = 'torchvision'
) -> Conversion:
    """Convert the ResNet of another repository.

    Args:
        weights (dict[str, Tensor]): Its state dict.
        source (str): One of :data:`SOURCES`. Defaults to ``'torchvision'``.

    Returns:
        Conversion: Keys with the prefix ``backbone.``. Heads, projections and
        prototypes are left out.

    Raises:
        ValueError: If ``source`` is unknown, or this is not a ResNet-18, 34,
            50, 101 or 152 of the usual width.

    Examples:
        >>> convert_resnet({}, 'swav')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: no ResNet of swav: found no conv1.weight under 'module.'...
    """
    check_choice('source', source, SOURCES)
    prefixes = SOURCES[source].prefixes
    prefix = next((p for p in prefixes if f'{p}conv1.weight' in weights), None)
    if prefix is None:
        raise ValueError(
            f'no ResNet of {source}: found no conv1.weight under '
            f'{" or ".join(map(repr, prefixes))}; the keys begin with '
            f'{[*weights][:3]}'
        )
    state_dict, mapped, dropped = {}, [], []
    for key, value in weights.items():
        name = key[len(prefix) :] if key.startswith(prefix) else ''
        if _BACKBONE.fullmatch(name):
            state_dict[f'backbone.{name}'] = value
            mapped.append((key, f'backbone.{name}'))
        else:
            dropped.append((key, 'not of the backbone'))
    depth = _depth(state_dict)
    return Conversion(
        state_dict, mapped, dropped, dict(type='ResNet', depth=depth)
    )


def _depth(state_dict: Dict[str, Tensor]) -> int:
    names = [key[len('backbone.') :].split('.') for key in state_dict]
    blocks = tuple(
        len({name[1] for name in names if name[0] == f'layer{stage}'})
        for stage in (1, 2, 3, 4)
    )
    deep = 'backbone.layer1.0.conv3.weight' in state_dict
    depth = _DEPTHS.get((deep, blocks))
    first = state_dict.get('backbone.layer1.0.conv1.weight')
    if depth is None or first is None or len(first) != 64:
        width = 'none' if first is None else len(first)
        raise ValueError(
            'must be a ResNet-18, 34, 50, 101 or 152 of width 64, got '
            f'{blocks} blocks of {3 if deep else 2} convolutions and width '
            f'{width}'
        )
    _check_complete(state_dict, blocks, deep)
    return depth


def _check_complete(
    state_dict: Dict[str, Tensor], blocks: Tuple[int, ...], deep: bool
) -> None:
    """Every convolution has its norm, and no block lacks a layer."""
    wanted = {'conv1', 'bn1'}
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            at = f'layer{stage}.{block}'
            wanted |= {
                f'{at}.{layer}{index}'
                for layer in ('conv', 'bn')
                for index in range(1, 4 if deep else 3)
            }
            if not block and (deep or stage > 1):
                wanted |= {f'{at}.downsample.0', f'{at}.downsample.1'}
    norms = {at for at in wanted if 'bn' in at or at.endswith('sample.1')}
    tensors = {f'backbone.{at}.weight' for at in wanted}
    for part in ('bias', 'running_mean', 'running_var'):
        tensors |= {f'backbone.{at}.{part}' for at in norms}
    missing = sorted(tensors - set(state_dict))
    if missing:
        raise ValueError(
            f'{len(missing)} tensors are missing, such as {missing[0]}'
        )
