# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Rank and neighbors of features against the values of the authors' code."""

import math

import torch
import torch.nn.functional as F

from mask_plugins.functional.knn import knn_predict
from mask_plugins.functional.rankme import (
    effective_rank,
    gram_singular_values,
    rankme,
)

from . import test_masked_feature, test_self_masking
from .golden import bump, close, named, tensor, wave

golden = test_masked_feature.golden


@golden(
    'rankme',
    '{name}',
    named,
    rank=bump('value', 'paper_float64'),
    rank_of_rows=bump('value', 'rownorm_float64'),
)
def test_rankme(case):
    case = case['value']
    z = tensor(case['Z'])
    close(rankme(z), case['paper_float64'])
    close(rankme(z, 'row'), case['rownorm_float64'])
    # The original: rows of length 1, in fp32.
    close(rankme(z, 'row'), case['reference_float32'], 1e-4)
    streamed = effective_rank(gram_singular_values(z.T @ z, len(z)))
    close(streamed, case['paper_float64'], 1e-6)


@golden.instead('rankme_zero_row')
def test_rankme_of_a_zero_row():
    z = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    assert math.isclose(rankme(z, 'row'), 2, rel_tol=1e-5)


@test_self_masking.golden('knn_predict', neighbors=bump('pred_order'))
def test_knn_predict(case):
    bank = F.normalize(wave((12, 4), 0.61, 0.3))
    query = F.normalize(wave((5, 4), 0.83, 1.1))
    labels = torch.arange(12) % 3
    expected = torch.tensor(case['pred_order'])
    for chunk in (1, 3, 1024):
        options = dict(top=expected.shape[1], chunk=chunk)
        given = (query, bank, labels, case['k'], case['T'])
        found = knn_predict(*given, **options)
        # Ours has -1 where a class has no vote at all.
        assert torch.equal(found, expected.masked_fill(found == -1, -1))
        assert (found[:, 0] != -1).all()
