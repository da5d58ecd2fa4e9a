# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The vote of the nearest neighbors."""

import pytest
import torch

from mask_plugins.functional.knn import knn_predict

BANK = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
LABELS = torch.tensor([4, 4, 1, 1])


def test_votes_are_weighted_by_similarity():
    query = torch.tensor([[3.0, 0.0], [0.0, 0.2]])
    found = knn_predict(query, BANK, LABELS, 3, top=3)
    assert found.tolist() == [[4, 1, -1], [1, 4, -1]]
    # All of a bank that is smaller than k; two against one, and a cold vote.
    labels = torch.tensor([0, 1, 1, 1])
    assert knn_predict(query[:1], BANK, labels, 9, 1e-3).tolist() == [[0]]
    assert knn_predict(query[:1], BANK, labels, 9, 10.0).tolist() == [[1]]


def test_a_query_that_is_not_finite_has_no_class():
    query = torch.tensor([[float('nan'), 1.0], [1.0, 0.0]])
    assert knn_predict(query, BANK, LABELS).tolist() == [[-1], [4]]
    bank = torch.full((3, 2), float('inf'))
    assert knn_predict(query, bank, LABELS[:3]).tolist() == [[-1], [-1]]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(labels=LABELS[:3]), r'int64 of shape \(4,\)'),
        (dict(labels=LABELS - 2), 'at least 0, got -1'),
        (dict(temperature=0), 'above 0, got 0'),
        (dict(temperature=float('nan')), 'temperature must be .*finite'),
        (dict(k=0), 'k must be an int of at least 1, got 0'),
        (
            dict(bank=BANK[:1], labels=LABELS[:1], exclude=torch.arange(4)),
            'at least one image besides the query',
        ),
    ],
)
def test_bad_input(change, message):
    arguments = dict(query=BANK, bank=BANK, labels=LABELS)
    with pytest.raises(ValueError, match=message):
        knn_predict(**{**arguments, **change})


def test_numbers_of_classes_may_be_any():
    """Memory goes by how many classes there are, not by their numbers."""
    query = bank = torch.eye(4)
    labels = torch.tensor([2**62, 0, 7, 2**62])
    found = knn_predict(query, bank, labels, k=1, top=3)
    assert found.tolist() == [[label, -1, -1] for label in labels.tolist()]
