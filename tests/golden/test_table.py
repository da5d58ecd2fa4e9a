# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every golden key has a fate, and the table tells the truth."""

import importlib
import os

import pytest

from . import (
    cs_checks,
    smn_checks,
    test_features,
    test_hgsl,
    test_lwf,
    test_masked_feature,
    test_pss,
    test_teachers,
    values,
)

ALL = [(file, key) for file, keys in values.files().items() for key in keys]
PERTURBATIONS = {
    f'{checks.__name__.rpartition(".")[2]} {name}': found
    for checks in (
        test_pss,
        cs_checks,
        smn_checks,
        test_hgsl,
        test_features,
        test_masked_feature,
        test_teachers,
        test_lwf,
    )
    for name, found in checks.PERTURBATIONS.items()
}


def test_there_are_values():
    """A variable that leads nowhere must not pass as nothing to test."""
    where = values.directory()
    variable = os.environ.get(values.VARIABLE)
    assert where.is_dir(), f'{values.VARIABLE}={variable!r} is no directory'
    assert ALL, f'no *.json with keys in {where} ({values.VARIABLE})'
    tested = [key for key in ALL if (values.fate(*key) or ('',))[0] == 'test']
    assert tested, f'no key in {where} leads to a test'


@pytest.mark.parametrize(
    ('file', 'key'), ALL, ids=['-'.join(pair) for pair in ALL]
)
def test_key_has_a_fate(file, key):
    found = values.fate(file, key)
    assert found is not None, f'{file}.json has a key unknown here: {key}'
    if found.kind == 'not built':
        pytest.skip(f'{found.reason} is not built yet: {file}.{key}')
    if found.kind in ('test', 'non-goal'):
        module, _, name = found.test.rpartition('.')
        module = importlib.import_module(f'{__package__}.{module}')
        assert name.startswith('test_')
        assert callable(getattr(module, name, None)), found.test


@pytest.mark.parametrize('name', PERTURBATIONS)
def test_a_wrong_value_fails(name):
    """The checks can fail: each does when one value is changed."""
    check, cases, perturb = PERTURBATIONS[name]
    for case in cases():
        try:
            wrong = perturb(case)
        except (KeyError, IndexError, StopIteration):
            continue  # a case without this value
        break
    else:
        pytest.skip(f'no case of {name} in {values.directory()}')
    check(case)
    with pytest.raises(AssertionError):
        check(wrong)
