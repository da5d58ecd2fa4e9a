# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Put gates on any registered model."""

import os
from typing import Any, Optional, Sequence, Union

from torch import nn

from mask_plugins.core.patches import apply_patch_gates
from mask_plugins.models.build_module import build_module
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import PathLike, check_path
from mask_plugins.utils.files import read_json


@MODELS.register_module(name='GatedModel')
def build_gated_model(
    module: Union[dict, nn.Module],
    data_preprocessor: Optional[dict] = None,
    rules: Union[PathLike, Sequence] = (),
    **options: Any,
) -> nn.Module:
    """Build a backbone or whole model with gated layers.

    In a config: ``backbone=dict(type='mask_plugins.GatedModel',
    module=dict(type='mask_plugins.CIFARResNet', depth=20), gate='pooled',
    patch_size=4)``. Keys and values of the state dict stay those of the stock
    model; gates with parameters add theirs.

    Args:
        module (dict | nn.Module): Config of any model of any OpenMMLab
            project.
        data_preprocessor (dict, optional): The runner adds it for a whole
            model; passed on.
        rules (str | Sequence): See :func:`read_rules`. Defaults to ().
        **options: See :func:`mask_plugins.core.patches.apply_patch_gates`.

    Returns:
        nn.Module: The model itself, not a wrapper around it.

    Raises:
        TypeError, ValueError: If a layer cannot be gated, or an option is not
            allowed.

    Examples:
        >>> model = build_gated_model(nn.Sequential(nn.Conv2d(3, 8, 3)),
        ...                           place='conv', gate='exact')
        >>> model[0].gate
        ExactGate(patch_size=(8, 8), threshold=0.0)
    """
    module = build_module(module, data_preprocessor)
    try:
        return apply_patch_gates(module, rules=read_rules(rules), **options)
    except (TypeError, ValueError) as error:
        if not isinstance(rules, (str, os.PathLike)):
            raise
        message = f'{error} (with the rules of {os.fspath(rules)})'
        raise type(error)(message) from error


def read_rules(rules: Union[PathLike, Sequence]) -> Sequence:
    """Rules of ``apply_patch_gates``, or those of a file.

    Args:
        rules (str | Path | Sequence): A JSON file with the key ``rules``, as
            ``tools/analysis/calibrate_gate.py`` writes it, or the rules.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no rules, or those of an earlier version.

    Examples:
        >>> read_rules([('layer4.*', 'skip')])
        [('layer4.*', 'skip')]
    """
    if not isinstance(rules, (str, os.PathLike)):
        return rules
    path = check_path('rules', rules)
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise type(error)(f'rules: {error}') from error
    listed = found.get('rules') if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError(f'rules: {path} must hold a list "rules"')
    for rule in listed:
        if isinstance(rule, dict) and 'action' not in rule:
            raise ValueError(f'rules: {path}: {rule} is without "action"')
    return listed
