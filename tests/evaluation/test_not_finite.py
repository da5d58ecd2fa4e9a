# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One rule for features with NaN or infinity: NaN, and one warning."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

from mask_plugins.apis.features import Features
from mask_plugins.engine.hooks import LinearProbeHook
from mask_plugins.evaluation.metrics import (
    EVALUATED_FEATURES,
    EvaluatedFeatures,
    KNNAccuracy,
    RankMe,
    RetrievalMetrics,
)

LABELS = torch.arange(12) % 3


def rows(wrong):
    """Twelve rows, some of which are not finite."""
    found = torch.eye(3)[LABELS] + 0.01 * torch.arange(12.0)[:, None]
    for row, value in zip(range(wrong), (math.nan, math.inf, -math.inf)):
        found[row, row] = value
    return found


def evaluate(metric, values, bank=None):
    hub = MessageHub.get_current_instance()
    samples = [
        dict(embedding=row, gt_label=label[None], sample_idx=index)
        for index, (row, label) in enumerate(zip(values, LABELS))
    ]
    hub.runtime_info[EVALUATED_FEATURES] = EvaluatedFeatures(values, 12, bank)
    metric.process(None, samples)
    hub.pop_info(EVALUATED_FEATURES)
    return metric.evaluate(12)


def data(values):
    return Features(values, LABELS, torch.arange(12))


def ranked(values):
    """Similarities, as a retriever gives them."""
    metric = RetrievalMetrics(measures=('recall', 'map'))
    for index, row in enumerate(values @ rows(0).T):
        same = (LABELS == LABELS[index]).nonzero()[:, 0]
        sample = dict(pred_score=row, gt_label=same, sample_idx=index)
        metric.process(None, [sample])
    return metric.evaluate(12)


def probe(values, test):
    logger = SimpleNamespace(logger=MMLogger.get_current_instance())
    hook = LinearProbeHook()
    return hook._fit(logger, data(values), data(test), torch.device('cpu'))


CASES = {
    'RankMe': lambda x: evaluate(RankMe(), x),
    'KNNAccuracy of others': lambda x: evaluate(KNNAccuracy(bank='self'), x),
    'KNNAccuracy': lambda x: evaluate(KNNAccuracy(), x, data(rows(0))),
    'KNNAccuracy with a bank': lambda x: evaluate(
        KNNAccuracy(), rows(0), data(x)
    ),
    'RetrievalMetrics': lambda x: evaluate(RetrievalMetrics(), x),
    'RetrievalMetrics of similarities': ranked,
    'LinearProbeHook': lambda x: probe(x, rows(0)),
    'LinearProbeHook in a test': lambda x: probe(rows(0), x),
}
COUNTS = ('samples', 'dims', 'queries')


@pytest.mark.parametrize('wrong', [0, 1, 3])
@pytest.mark.parametrize('name', CASES)
def test_results(monkeypatch, name, wrong):
    said = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(
        logger, 'warning', lambda text, *args: said.append(text)
    )
    found = CASES[name](rows(wrong))
    results = {k: v for k, v in found.items() if not k.endswith(COUNTS)}
    assert results
    assert all(math.isnan(v) == bool(wrong) for v in results.values())
    counts = [v for k, v in found.items() if k.endswith(COUNTS)]
    assert all(value in (12, 3) for value in counts)
    said = [text for text in said if 'beyond the' not in text]
    if not wrong:
        assert said == []
        return
    (text,) = said
    assert text.startswith(f'{name.split()[0]}: {wrong} of ')


def test_a_metric_recovers():
    metric = RankMe()
    assert math.isnan(evaluate(metric, rows(1))['rankme/rank'])
    assert evaluate(metric, rows(0))['rankme/rank'] > 1


def test_a_bank_of_the_query_alone():
    metric = KNNAccuracy(bank='self')
    metric._kept = [(rows(0)[:1], LABELS[:1])]
    with pytest.raises(ValueError, match='at least one image besides'):
        metric.evaluate(1)
