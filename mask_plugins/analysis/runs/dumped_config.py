# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The config that a run has written, without running it."""

import ast
from typing import Any, Dict, Union


def parse_dumped_config(source: Union[str, bytes]) -> Dict[str, Any]:
    """The settings of a config as mmengine dumps it: names and literals.

    Args:
        source (str | bytes): Its text.

    Raises:
        ValueError: If it has anything else in it, such as an import.

    Examples:
        >>> parse_dumped_config('optim = dict(lr=0.1)')
        {'optim': {'lr': 0.1}}
    """
    try:
        settings = {}
        for line in ast.parse(source).body:
            if not isinstance(line, ast.Assign) or len(line.targets) > 1:
                raise ValueError(f'line {line.lineno} is a statement')
            settings[line.targets[0].id] = _value(line.value)
        return settings
    # It may be a program of another machine, or of a stranger.
    except Exception as error:
        raise ValueError(
            f'not a config as mmengine dumps it: {error}'
        ) from error


def _value(node: ast.expr) -> Any:
    """``ast.literal_eval`` that knows ``dict(key=value)`` too."""
    if isinstance(node, ast.Call):
        if ast.unparse(node.func) != 'dict':
            raise ValueError(f'line {node.lineno} has a call')
        named = {item.arg: _value(item.value) for item in node.keywords}
        return dict(*map(_value, node.args), **named)
    if isinstance(node, ast.Dict):
        keys = map(ast.literal_eval, node.keys)
        return dict(zip(keys, map(_value, node.values)))
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(map(_value, node.elts))
    return ast.literal_eval(node)
