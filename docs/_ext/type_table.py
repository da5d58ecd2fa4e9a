# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One table of all registered types, from the registries."""

import importlib
import inspect
import re

from mmengine.registry import Registry

from mask_plugins import registry

PLACE = '<!-- table of registered types -->'


def registered_types():
    """Name of a registry to its classes and functions, sorted by name."""
    for kind, found in vars(registry).items():
        if not isinstance(found, Registry) or found.scope != 'mask_plugins':
            continue
        for location in found._locations:
            importlib.import_module(location)
        if found.module_dict:
            yield kind, sorted(found.module_dict.items())


def first_line(item):
    """What the docstring says in its first line."""
    text = (inspect.getdoc(item) or '').split('\n\n')[0]
    text = re.sub(r':\w+:`~?([^`]+)`', r'`\1`', text)  # roles
    return ' '.join(text.split()).replace('|', r'\|').replace('``', '`')


def table():
    """A table per registry."""
    lines = []
    for kind, items in registered_types():
        title = kind.replace('_', ' ').lower()
        lines += [f'## {title}', '', '| type | what |', '|---|---|']
        lines += [f'| `{name}` | {first_line(x)} |' for name, x in items]
        lines += ['']
    return '\n'.join(lines)


def read(app, docname, source):
    """Put the table where a page asks for it."""
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, table())


def setup(app):
    """Register with Sphinx."""
    app.connect('source-read', read)
    return dict(parallel_read_safe=True)
