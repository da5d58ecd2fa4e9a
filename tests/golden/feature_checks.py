# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How golden values of features are compared: their rank, their neighbors."""

import torch
import torch.nn.functional as F

from mask_plugins.functional.gram_factor import GramFactor
from mask_plugins.functional.knn import knn_predict
from mask_plugins.functional.rankme import effective_rank, rankme

from . import values
from .perturb import bump
from .smn_checks import close, fill


def ranks():
    for _, cases in values.matching('masked_feature', 'rankme'):
        yield from cases.values()


def check_rank(case):
    z = torch.tensor(case['Z'], dtype=torch.float64)
    close(rankme(z), case['paper_float64'])
    close(rankme(z, 'row'), case['rownorm_float64'])
    # The original: rows of length 1, in fp32.
    close(rankme(z, 'row'), case['reference_float32'], 1e-4)
    factor = GramFactor()
    for row in z.split(1):
        factor.add(row)
    close(effective_rank(factor.singular_values()), case['paper_float64'])


def neighbors():
    for _, case in values.matching('self_masking', 'knn_predict'):
        yield case


def check_neighbors(case):
    bank = F.normalize(fill((12, 4), 0.61, 0.3))
    query = F.normalize(fill((5, 4), 0.83, 1.1))
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


PERTURBATIONS = {
    'rank': (check_rank, ranks, bump('paper_float64')),
    'rank of rows of length 1': (check_rank, ranks, bump('rownorm_float64')),
    'neighbors': (check_neighbors, neighbors, bump('pred_order', 0, 0)),
}
