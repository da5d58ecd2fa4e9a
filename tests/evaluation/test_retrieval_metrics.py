# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The metric, fed as a test loop feeds it."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.registry import METRICS

from mask_plugins.evaluation.metrics import RetrievalMetrics
from mask_plugins.functional.retrieval import evaluate_retrieval
from tests.common.processes import run_ranks


def some(count=20):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 4
    return torch.randn(count, 8, generator=generator), labels


def embedded():
    return [
        dict(embedding=row, gt_label=label[None], sample_idx=index)
        for index, (row, label) in enumerate(zip(*some()))
    ]


def test_embeddings():
    metric = METRICS.build(dict(type='mask_plugins.RetrievalMetrics', ks=[1]))
    for sample in embedded():
        metric.process(None, [sample])
    found = metric.evaluate(20)
    expected = evaluate_retrieval(*some(), ks=(1,))
    assert found == {f'retrieval/{k}': v for k, v in expected.items()}
    assert found['retrieval/queries'] == 20


def test_images_that_a_sampler_has_padded_count_once():
    metric = RetrievalMetrics()
    metric.process(None, embedded() + embedded()[:3])
    found = metric.evaluate(23)
    assert found['retrieval/queries'] == 20
    assert found['retrieval/recall@1'] == pytest.approx(
        evaluate_retrieval(*some())['recall@1']
    )


@pytest.mark.parametrize('measures', [('recall', 'map_at_r'), ('map',)])
def test_a_retriever_gives_the_same(measures):
    feats, labels = some()
    similarity = F.normalize(feats) @ F.normalize(feats).T
    metric = RetrievalMetrics(measures=measures)
    for index, row in enumerate(similarity):
        others = (labels == labels[index]).nonzero()[:, 0]
        others = others[others != index]
        metric.process(
            None, [dict(pred_score=row, gt_label=others, sample_idx=index)]
        )
    expected = evaluate_retrieval(feats, labels, measures=measures)
    assert metric.evaluate(20) == pytest.approx(
        {f'retrieval/{k}': v for k, v in expected.items()}
    )


def test_a_gallery_apart():
    metric = RetrievalMetrics(ks=(1, 2), exclude_self=False)
    scores = np.array([0.1, 0.9, 0.5])
    for labels in ([2], [0, 1]):
        metric.process(None, [dict(pred_score=scores, gt_label=labels)])
    found = metric.evaluate(2)
    assert found['retrieval/recall@1'] == 50
    assert found['retrieval/r_precision'] == 25


def test_what_is_refused():
    for options in (
        dict(measures=['accuracy']),
        dict(ks=[0]),
        dict(metric='l1'),
        dict(chunk=0),
        dict(chunk=float('nan')),
    ):
        with pytest.raises((TypeError, ValueError), match=next(iter(options))):
            RetrievalMetrics(**options)
    two = torch.tensor([0, 1])
    for error, message, sample in (
        (KeyError, 'ImageEmbedder', dict(gt_label=two[:1])),
        (ValueError, 'one class each', dict(embedding=two, gt_label=two)),
        (KeyError, 'sample_idx', dict(pred_score=two, gt_label=two[1:])),
    ):
        with pytest.raises(error, match=message):
            RetrievalMetrics().process(None, [sample])


def rank_of_two():
    """Every other image, one of them a padded double."""
    samples = embedded()[:19]
    samples.append(samples[0])
    metric = RetrievalMetrics()
    metric.process(None, samples[dist.get_rank() :: 2])
    found = metric.evaluate(19)
    print(f'recall {found["retrieval/recall@1"]:.6f}')
    print(f'queries {found["retrieval/queries"]}')


@pytest.mark.ddp
def test_two_processes():
    output = run_ranks(rank_of_two)
    expected = evaluate_retrieval(*some(19))
    assert output.count(f'recall {expected["recall@1"]:.6f}') == 2, output
    assert output.count('queries 19') == 2
