# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read the file of a sweep."""

import re
from typing import Any, Dict, Optional

import yaml

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


_TAG = 'tag:yaml.org,2002:'
# What is a number or flag in YAML 1.2, which has no dates. In 1.1, which
# PyYAML follows, 1e-3 is text, 12:30 is 750, 010 is 8 and `no` is false.
_SCALARS = dict(
    bool='true|True|TRUE|false|False|FALSE',
    int='[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+',
    float=r'[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?'
    r'|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)',
)


class SweepLoader(yaml.SafeLoader):
    """YAML's safe loader, with the scalars and unique keys of YAML 1.2."""

    yaml_implicit_resolvers = {
        first: [
            (tag, rule)
            for tag, rule in pairs
            if tag[len(_TAG) :] not in (*_SCALARS, 'timestamp')
        ]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Optional[str]) -> yaml.MappingNode:
        """A map as it is written, before ``<<`` is merged into it."""
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if isinstance(key, str) and keys.count(key) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f'the key {key!r} stands twice',
                    problem_mark=node.start_mark,
                )
        return node


for _kind, _rule in _SCALARS.items():
    SweepLoader.add_implicit_resolver(
        _TAG + _kind, re.compile(f'({_rule})$'), list('-+.0123456789tTfF')
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
