# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Golden cases: a set of files that lacks a key skips that case by name."""

from functools import partial

import pytest

from . import values


class Case(dict):
    """A dict of a golden file, whose missing keys skip the test."""

    def __missing__(self, key):
        pytest.skip(f'the golden files have no {key!r} here')


def wrap(value):
    """The same value with every dict in it a :class:`Case`."""
    if isinstance(value, dict):
        return Case({key: wrap(item) for key, item in value.items()})
    return [wrap(x) for x in value] if isinstance(value, list) else value


def cases(file, pattern):
    """All cases under the keys that fit a pattern; a list is many."""
    for _, found in values.matching(file, pattern):
        yield from wrap(found if isinstance(found, list) else [found])


def of(file, pattern):
    """A function that yields :func:`cases`."""
    return partial(cases, file, pattern)
