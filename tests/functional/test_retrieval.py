# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Measures of retrieval; the original's values are in ``tests/golden``."""

import pytest
import torch
import torch.nn.functional as F

from mask_plugins.functional.retrieval import (
    MEASURES,
    evaluate_retrieval,
    hits_of_ranking,
    retrieval_scores,
)


def some(count=60, classes=6, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    feats = torch.randn(count, width, generator=generator)
    return feats + torch.eye(classes, width)[labels], labels


def test_agrees_with_pytorch_metric_learning():
    accuracy = pytest.importorskip(
        'pytorch_metric_learning.utils.accuracy_calculator'
    )
    knn = pytest.importorskip('pytorch_metric_learning.utils.inference')
    distances = pytest.importorskip('pytorch_metric_learning.distances')
    feats, labels = some()
    labels[0] = 99  # a class with a single image
    names = dict(
        precision_at_1='recall@1',
        r_precision='r_precision',
        mean_average_precision_at_r='map_at_r',
        mean_average_precision='map',
    )
    found = {}
    for include, k in (
        (list(names)[:3], 'max_bin_count'),
        (list(names)[3:], 59),
    ):
        search = knn.CustomKNN(distances.CosineSimilarity())
        theirs = accuracy.AccuracyCalculator(include, k=k, knn_func=search)
        found.update(theirs.get_accuracy(feats, labels))
    ours = evaluate_retrieval(feats, labels, measures=MEASURES, chunk=7)
    assert ours['queries'] == 59
    for their, name in names.items():
        assert ours[name] == pytest.approx(100 * found[their], rel=1e-9)


def test_agrees_with_mmpretrain():
    """Where both are defined alike: query and gallery are apart."""
    metrics = pytest.importorskip('mmpretrain.evaluation.metrics')
    (query, labels), (gallery, of_gallery) = some(20), some(50, seed=1)
    ours = evaluate_retrieval(
        query, labels, gallery, of_gallery, measures=('recall', 'map')
    )
    similarity = F.normalize(query) @ F.normalize(gallery).T
    ranks = similarity.argsort(dim=1, descending=True, stable=True)
    target = [(of_gallery == label).nonzero()[:, 0] for label in labels]
    recall = metrics.RetrievalRecall.calculate(
        list(ranks), target, topk=(1, 2, 4, 8), pred_indices=True,
        target_indices=True,
    )  # fmt: skip
    found = [ours[f'recall@{k}'] for k in (1, 2, 4, 8)]
    assert found == pytest.approx([float(r) for r in recall])
    precision = metrics.RetrievalAveragePrecision.calculate(
        list(ranks), target, 50, True, True, mode='IR'
    )
    assert ours['map'] == pytest.approx(float(precision))


@pytest.mark.parametrize('chunk', [1, 7, 1000])
def test_chunks_change_nothing(chunk):
    feats, labels = some()
    whole = evaluate_retrieval(feats, labels, measures=MEASURES)
    found = evaluate_retrieval(feats, labels, measures=MEASURES, chunk=chunk)
    assert found == pytest.approx(whole)


def test_equal_similarities_rank_by_index():
    feats = torch.ones(4, 2)
    found = evaluate_retrieval(feats, torch.tensor([0, 1, 0, 1]), ks=(1, 2))
    # they find 1, 2 and 0, 2 and 0, 1 and 0, 1
    assert found['recall@1'] == 25
    assert found['recall@2'] == 75


def test_k_beyond_the_gallery_is_all_of_it():
    feats, labels = some(10, 2)
    found = evaluate_retrieval(feats, labels, ks=(9, 50))
    assert found['recall@50'] == found['recall@9'] == 100


def test_what_is_refused():
    feats, labels = some(10, 2)
    for arguments, message in (
        ((feats[:0], labels[:0]), 'query .* N of at least 1'),
        ((feats, labels, feats[:0], labels[:0]), 'gallery .* at least 1'),
        ((feats, torch.arange(10)), 'no query has another image'),
        ((feats, labels[:3]), r'int64 of shape \(10,\)'),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_retrieval(*arguments)
    for ks in ((), (0,), (1.5,), (True,)):
        with pytest.raises((TypeError, ValueError), match='ks'):
            evaluate_retrieval(feats, labels, ks=ks)
    with pytest.raises(ValueError, match="measures must .* got 'ndcg'"):
        evaluate_retrieval(feats, labels, measures=('ndcg',))
    broken = feats.clone()
    broken[3, 0], broken[7, 1] = torch.nan, torch.inf
    with pytest.raises(ValueError, match='query must be finite, but 2 of 10'):
        evaluate_retrieval(broken, labels)


def test_a_gallery_needs_its_labels_and_a_chunk_rows():
    feats, labels = some()
    with pytest.raises(ValueError, match='got rows without labels'):
        evaluate_retrieval(feats, labels, feats)
    with pytest.raises(ValueError, match='got labels without rows'):
        evaluate_retrieval(feats, labels, gallery_labels=labels)
    with pytest.raises(ValueError, match='chunk must be .* 1, got 0'):
        evaluate_retrieval(feats, labels, chunk=0)


def test_a_ranking_without_the_query():
    similarity = torch.tensor([1.0, 0.1, 0.9, 0.5])
    hits, relevant = hits_of_ranking(
        similarity, torch.tensor([0, 3]), None, own=0
    )
    assert hits.tolist() == [False, True, False]  # 2, 3, 1
    assert relevant == 1
    hits, _ = hits_of_ranking(similarity, torch.tensor([0, 3]), 1)
    assert hits.tolist() == [True, False]  # both ranks of R
    scores = retrieval_scores(hits[None], torch.tensor([2]), ks=(1,))
    assert scores['r_precision'].item() == 0.5
