# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Losses of continual learning against the values of the authors' code."""

import pytest

from . import lwf_checks as checks


@pytest.mark.parametrize(
    'case', checks.cases(), ids=lambda case: case['mode'] or 'unmasked'
)
def test_lwf(case):
    checks.check(case)
