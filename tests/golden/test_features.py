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

from . import values
from .golden import Golden, close, tensor
from .perturb import bump

golden = Golden()


def ranks():
    for _, cases in values.matching('masked_feature', 'rankme'):
        yield from cases.values()


@golden(
    ranks, rank=bump('paper_float64'), rank_of_rows=bump('rownorm_float64')
)
def test_rankme(case):
    z = tensor(case['Z'])
    close(rankme(z), case['paper_float64'])
    close(rankme(z, 'row'), case['rownorm_float64'])
    # The original: rows of length 1, in fp32.
    close(rankme(z, 'row'), case['reference_float32'], 1e-4)
    streamed = effective_rank(gram_singular_values(z.T @ z, len(z)))
    close(streamed, case['paper_float64'], 1e-6)


def test_rankme_of_a_zero_row():
    z = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    assert math.isclose(rankme(z, 'row'), 2, rel_tol=1e-5)


def neighbors():
    for _, case in values.matching('self_masking', 'knn_predict'):
        yield case


def fill(shape, a, b):
    """The inputs of the golden file."""
    index = torch.arange(math.prod(shape), dtype=torch.float64)
    return F.normalize(torch.sin(a * index + b).view(shape))


@golden(neighbors, neighbors=bump('pred_order', 0, 0))
def test_knn_predict(case):
    bank, query = fill((12, 4), 0.61, 0.3), fill((5, 4), 0.83, 1.1)
    labels = torch.arange(12) % 3
    expected = torch.tensor(case['pred_order'])
    for chunk in (1, 3, 1024):
        found = knn_predict(
            query,
            bank,
            labels,
            case['k'],
            case['T'],
            top=expected.shape[1],
            chunk=chunk,
        )
        # Ours has -1 where a class has no vote at all.
        assert torch.equal(found, expected.masked_fill(found == -1, -1))
        assert (found[:, 0] != -1).all()


PERTURBATIONS = golden.perturbations
