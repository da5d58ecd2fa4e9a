# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The metric of streams, by hand."""

import pytest
import torch

from mask_plugins.evaluation.metrics import SkipRatio


def sample(label=1, **extra):
    scores = torch.eye(3)[[0, 1, 1, 2]]
    record = dict(
        scores=scores,
        macs=dict(a=(100, 40, 2), b=(300, 300, 3)),
        latency=[1.0, 2.0, 3.0],
        **extra,
    )
    return dict(stream_record=record, gt_label=torch.tensor([label]))


def test_numbers():
    metric = SkipRatio(per_layer=True)
    dense = torch.eye(3)[[0, 1, 2, 2]]
    extra = dict(
        dense_scores=dense,
        relative_l2=[0.0, 0.1, 0.2, 0.3],
        dense_latency=[4.0, 4.0, 4.0],
    )
    metric.process(None, [sample(1, **extra)])
    metric.process(None, [sample(0, **extra)])
    found = metric.evaluate(2)
    assert found['stream/skip_ratio_gross'] == pytest.approx(60 / 400)
    assert found['stream/skip_ratio'] == pytest.approx(55 / 400)
    assert found['stream/gate_cost'] == pytest.approx(5 / 400)
    assert found['stream/skip/a'] == pytest.approx(0.6)
    assert found['stream/skip/b'] == 0
    assert found['stream/top1'] == pytest.approx(100 * 3 / 8)
    assert found['stream/dense_top1'] == pytest.approx(100 * 2 / 8)
    assert found['stream/agreement'] == pytest.approx(75)
    assert found['stream/relative_l2'] == pytest.approx(0.15)
    assert found['stream/latency_p50'] == 2
    assert found['stream/speed_up'] == pytest.approx(2)


def test_without_labels_and_dense():
    metric = SkipRatio()
    one = sample()
    del one['gt_label']
    metric.process(None, [one])
    found = metric.evaluate(1)
    assert 'stream/top1' not in found
    assert 'stream/agreement' not in found
    assert 'stream/skip/a' not in found


def test_other_models_are_refused():
    with pytest.raises(RuntimeError, match='StreamClassifier'):
        SkipRatio().process(None, [dict(pred_label=1)])
