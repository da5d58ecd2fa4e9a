# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Put gates on any registered model."""

import json
import os
from typing import Any, List, Optional, Sequence, Union

from torch import nn

from mask_plugins.core.patches import apply_patch_gates
from mask_plugins.registry import MODELS


@MODELS.register_module(name='GatedModel')
def build_gated_model(
    module: Union[dict, nn.Module],
    data_preprocessor: Optional[dict] = None,
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
        **options: See :func:`mask_plugins.core.patches.apply_patch_gates`;
            ``rules`` may be a file, see :func:`read_rules`.

    Returns:
        nn.Module: The model itself, not a wrapper around it.

    Raises:
        TypeError, ValueError: If a layer cannot be gated, or an option is not
            allowed.
    """
    if isinstance(module, dict):
        module = dict(module)
        if data_preprocessor is not None:
            module.setdefault('data_preprocessor', data_preprocessor)
        module = MODELS.build(module)
    options = {key: plain(value) for key, value in options.items()}
    if 'rules' in options:
        options['rules'] = read_rules(options['rules'])
    apply_patch_gates(module, **options)
    return module


def read_rules(rules: Union[str, Sequence[dict]]) -> List[dict]:
    """Rules of ``apply_patch_gates``, or those of a file.

    Args:
        rules (str | Sequence[dict]): A JSON file with the key ``rules``, as
            ``tools/analysis/calibrate_gate.py`` writes it, or the rules.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no rules.
    """
    if not isinstance(rules, str):
        return plain(list(rules))
    if not os.path.isfile(rules):
        raise FileNotFoundError(f'rules: there is no file {rules}')
    with open(rules, encoding='utf-8') as file:
        try:
            found = json.load(file)
        except ValueError as error:
            raise ValueError(f'rules: {rules} is not JSON: {error}') from error
    listed = found.get('rules') if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError(
            f'rules: {rules} must hold a list "rules", as '
            'tools/analysis/calibrate_gate.py writes it'
        )
    return listed


def plain(value: Any) -> Any:
    """A value of a config without its ConfigDicts."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value
