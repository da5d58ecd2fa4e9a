# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every public class and function shows how to call it, by doctest."""

import importlib
import inspect
from pathlib import Path

from mmengine.registry import Registry

import mask_plugins
from mask_plugins import registry

ROOT = Path(mask_plugins.__file__).parent


def registered():
    """What our registries hold, once their locations are imported."""
    for found in vars(registry).values():
        if isinstance(found, Registry) and found.scope == 'mask_plugins':
            for location in found._locations:
                importlib.import_module(location)
            yield from found.module_dict.values()


def exported():
    """What the packages name in ``__all__``, or else import."""
    for path in ROOT.rglob('__init__.py'):
        if '.mim' in path.parts:
            continue
        parts = path.parent.relative_to(ROOT.parent).parts
        module = importlib.import_module('.'.join(parts))
        for name in getattr(module, '__all__', vars(module)):
            yield getattr(module, name)


def test_public_names_have_examples():
    public = {
        f'{item.__module__}.{item.__qualname__}': item
        for item in (*registered(), *exported())
        if inspect.isclass(item) or inspect.isfunction(item)
        if item.__module__.startswith('mask_plugins')
        if not hasattr(item, '_layers') and item.__name__ != 'build'
    }
    assert len(public) > 200
    missing = [n for n, x in public.items() if '>>>' not in (x.__doc__ or '')]
    assert sorted(missing) == []
