# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every golden key is compared or has its reason, and the checks can fail."""

import importlib
import os
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from . import values
from .golden import Golden

for path in sorted(Path(__file__).parent.glob('test_*.py')):
    if path.name != Path(__file__).name:
        importlib.import_module(f'{__package__}.{path.stem}')
ALL = [(file, key) for file, keys in values.files().items() for key in keys]


def compared(file, key):
    return any(f == file and fnmatchcase(key, p) for f, p in Golden.covered)


def test_there_are_values():
    """A variable that leads nowhere must not pass as nothing to test."""
    where = values.directory()
    variable = os.environ.get(values.VARIABLE)
    assert where.is_dir(), f'{values.VARIABLE}={variable!r} is no directory'
    assert ALL, f'no *.json with keys in {where} ({values.VARIABLE})'
    assert any(compared(*pair) for pair in ALL), f'no test of a key in {where}'


@pytest.mark.parametrize(
    ('file', 'key'), ALL, ids=['-'.join(pair) for pair in ALL]
)
def test_key_has_a_fate(file, key):
    known = key in values.NOTES or compared(file, key)
    assert known, f'{file}.json has a key unknown here: {key}'


@pytest.mark.parametrize('name', Golden.wrong)
def test_a_wrong_value_fails(name):
    """The checks can fail: each does when one value is changed."""
    check, cases, perturb = Golden.wrong[name]
    for case in cases:
        try:
            wrong = perturb(case)
        except (KeyError, IndexError, StopIteration, pytest.skip.Exception):
            continue  # a case without this value
        break
    else:
        pytest.skip(f'no case of {name} in {values.directory()}')
    check(case)
    with pytest.raises(AssertionError):
        check(wrong)
