# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Rank and neighbors of features against the values of the authors' code."""

import math

import torch

from mask_plugins.functional.rankme import rankme

from . import feature_checks as checks


def test_rankme():
    for case in checks.ranks():
        checks.check_rank(case)


def test_rankme_of_a_zero_row():
    z = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    assert math.isclose(rankme(z, 'row'), 2, rel_tol=1e-5)


def test_knn_predict():
    for case in checks.neighbors():
        checks.check_neighbors(case)
