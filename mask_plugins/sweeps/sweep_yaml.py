# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read the file of a sweep."""

from typing import Any, Dict

from mask_plugins.utils.yaml_file import read_yaml

KEYS = (
    'name',
    'config',
    'base',
    'grid',
    'list',
    'seeds',
    'measured',
    'search',
)


def read_sweep_yaml(path: str) -> Dict[str, Any]:
    """The content of a sweep file.

    Args:
        path (str): The file.

    Raises:
        ValueError: If it is not YAML, or has other keys than ``KEYS``.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or set(content) - set(KEYS):
        found = list(content) if isinstance(content, dict) else content
        raise ValueError(f'must have some of the keys {KEYS}, got {found!r}')
    return content
