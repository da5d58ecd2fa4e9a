# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""HGSL and its metrics against the values of the authors' code."""

import pytest

from . import hgsl_checks as checks


@pytest.mark.parametrize('case', checks.losses(), ids=checks.loss_id)
def test_loss(case):
    """Loss, both parts, and all gradients; any margin gives the same."""
    checks.check_loss(case)


def test_distances_and_extremes():
    for found in checks.records():
        checks.check_record(found)


def test_retrieval():
    for found in checks.rankings():
        checks.check_ranking(found)
