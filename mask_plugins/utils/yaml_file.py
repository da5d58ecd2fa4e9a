# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read a YAML file, with numbers and flags as one means them."""

import re
from typing import Any, Optional

import yaml

from .checks import PathLike

_TAG = 'tag:yaml.org,2002:'
# What is a number or flag in YAML 1.2, which has no dates. In 1.1, which
# PyYAML follows, 1e-3 is text, 12:30 is 750, 010 is 8 and `no` is false.
_SCALARS = dict(
    bool='true|True|TRUE|false|False|FALSE',
    int='[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+',
    float=r'[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?'
    r'|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)',
)


class YamlLoader(yaml.SafeLoader):
    """YAML's safe loader, with the scalars and unique keys of YAML 1.2.

    Examples:
        >>> yaml.load('{lr: 1e-3, on: no, at: 12:30}', YamlLoader)
        {'lr': 0.001, 'on': 'no', 'at': '12:30'}
    """

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

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge ``<<``: a map's own keys hold, then the first of a list.

        PyYAML 6.0.4 lets the last of a list hold.
        """
        merged, own = [], []
        for key, value in node.value:
            if key.tag != _TAG + 'merge':
                own.append((key, value))
                continue
            several = isinstance(value, yaml.SequenceNode)
            for one in reversed(value.value if several else [value]):
                if not isinstance(one, yaml.MappingNode):
                    raise yaml.MarkedYAMLError(
                        problem='<< takes a map, or a list of maps',
                        problem_mark=node.start_mark,
                    )
                self.flatten_mapping(one)
                merged += one.value
        # One pair per key, the last: merged maps of maps would double it.
        pairs = {(p[0].tag, str(p[0].value)): p for p in [*merged, *own]}
        node.value = list(pairs.values())


for _kind, _rule in _SCALARS.items():
    YamlLoader.add_implicit_resolver(
        _TAG + _kind, re.compile(f'({_rule})$'), list('-+.0123456789tTfF')
    )


def read_yaml(path: PathLike) -> Any:
    """The content of a YAML file.

    Args:
        path (str | os.PathLike): The file.

    Raises:
        ValueError: If it is not YAML, or a key stands twice in a map.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = open(f'{folder}/some.yaml', 'w').write('lr: 1e-3')
        ...     read_yaml(f'{folder}/some.yaml')
        {'lr': 0.001}
    """
    try:
        with open(path, encoding='utf-8') as file:
            return yaml.load(file, YamlLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'not YAML: {error}') from error
