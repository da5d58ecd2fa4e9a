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
    expected = dict(
        skip_ratio_gross=60 / 400, skip_ratio=55 / 400, gate_cost=5 / 400,
        top1=100 * 3 / 8, dense_top1=100 * 2 / 8, agreement=75,
        relative_l2=0.15, latency_p50=2, speed_up=2,
    )  # fmt: skip
    expected.update({'skip/a': 0.6, 'skip/b': 0})
    for key, value in expected.items():
        assert found[f'stream/{key}'] == pytest.approx(value)


def test_without_labels_and_dense():
    metric = SkipRatio()
    one = sample()
    del one['gt_label']
    metric.process(None, [one])
    found = metric.evaluate(1)
    for key in ('top1', 'agreement', 'skip/a'):
        assert f'stream/{key}' not in found


def test_other_models_are_refused():
    with pytest.raises(RuntimeError, match='StreamClassifier'):
        SkipRatio().process(None, [dict(pred_label=1)])
