# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read the file of a sweep."""

import re
from typing import Any, Dict

import yaml

KEYS = ('name', 'config', 'base', 'grid', 'list', 'seeds', 'measured')


class SweepLoader(yaml.SafeLoader):
    """YAML's safe loader, with the floats of YAML 1.2: ``1e-3`` is a number.

    PyYAML follows YAML 1.1, where it is text because it has no dot.
    """


SweepLoader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$'),
    list('-+.0123456789'),
)


def read_yaml(path: str) -> Dict[str, Any]:
    """The content of a sweep file.

    Args:
        path (str): The file.

    Raises:
        ValueError: If it is not YAML, or has other keys than ``KEYS``.
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = yaml.load(file, SweepLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'not YAML: {error}') from error
    if not isinstance(content, dict) or set(content) - set(KEYS):
        found = list(content) if isinstance(content, dict) else content
        raise ValueError(f'must have some of the keys {KEYS}, got {found!r}')
    return content
