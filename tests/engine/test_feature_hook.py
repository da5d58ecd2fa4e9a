# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Metrics of features, by config only, with a stock classifier."""

import math

import pytest
import torch

from mask_plugins.apis.data import build_test_loader, build_test_set
from mask_plugins.apis.features import (
    build_train_set,
    extract_features,
)
from mask_plugins.evaluation.metrics import (
    EVALUATED_FEATURES,
    KNNAccuracy,
    RankMe,
)
from mask_plugins.functional.knn import knn_predict
from mask_plugins.functional.rankme import rankme

from ..common.processes import run_ranks
from ..common.runs import log_lines
from .feature_runs import build

HOOK = dict(type='mask_plugins.FeatureHook', bank=True)
RANKME = dict(type='mask_plugins.RankMe')
KNN = dict(type='mask_plugins.KNNAccuracy', k=7, topk=(1, 5))
SELF = dict(KNN, bank='self', prefix='self')


def features(runner, dataset):
    loader = build_test_loader(runner.cfg, dataset)
    return extract_features(runner.model, loader)


def expected(runner):
    """What the metrics must say of the model as it is."""
    query = features(runner, build_test_set(runner.cfg))
    bank = features(runner, build_train_set(runner.cfg))
    found = knn_predict(query.values, bank.values, bank.labels, 7, top=5)
    hits = found == query.labels[:, None]
    own = torch.arange(50)
    values = query.values
    other = knn_predict(values, values, query.labels, 7, exclude=own)
    return {
        'rankme/rank': rankme(values),
        'rankme/samples': 50,
        'rankme/dims': 32,
        'knn/top1': 100 * hits[:, 0].double().mean().item(),
        'knn/top5': 100 * hits.any(1).double().mean().item(),
        'self/top1': 100
        * (other[:, 0] == query.labels).double().mean().item(),
    }


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    hooks = [HOOK, dict(type='mask_plugins.RankMeHook', interval=2)]
    runner = build(folder, hooks, [RANKME, KNN, SELF])
    runner.train()
    return runner


def test_metrics_of_a_stock_classifier(trained):
    line = log_lines(trained.work_dir, 'val_log.json')[-1]
    for key, value in expected(trained).items():
        assert math.isclose(line[key], value, rel_tol=1e-6), key
    assert 'accuracy/top1' in line
    assert trained.message_hub.get_info(EVALUATED_FEATURES) is None


def test_the_rank_of_training_batches_is_logged(trained):
    lines = log_lines(trained.work_dir)
    ranks = {line['iteration']: line.get('rank') for line in lines}
    assert [i for i, rank in ranks.items() if rank is not None] == [0, 2, 4]
    assert all(1 < ranks[i] <= 16.001 for i in (0, 2, 4))


def test_the_training_is_the_same_without(trained, tmp_path):
    plain = build(tmp_path)
    plain.train()
    other = trained.model.state_dict()
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, other[name]), name


def test_test_and_a_sample_cap(trained, tmp_path):
    cap = dict(RANKME, max_samples=20, normalize='row', prefix='some')
    runner = build(tmp_path, [HOOK], [RANKME, cap, KNN])
    runner.model.load_state_dict(trained.model.state_dict())
    found = runner.test()
    wanted = expected(runner)
    assert math.isclose(found['rankme/rank'], wanted['rankme/rank'])
    assert found['knn/top1'] == wanted['knn/top1']
    values = features(runner, build_test_set(runner.cfg)).values
    chosen = [i for i in range(50) if (i + 1) * 20 // 50 > i * 20 // 50]
    assert found['some/samples'] == len(chosen) == 20
    assert math.isclose(
        found['some/rank'], rankme(values[chosen], 'row'), rel_tol=1e-6
    )
    # A second evaluation starts again.
    assert runner.test_loop.run() == found


def test_both_weights_of_an_ema_hook(tmp_path):
    ema = dict(
        type='EMAHook', momentum=0.1, priority='NORMAL', evaluate_on_ema=True,
        evaluate_on_origin=True,
    )  # fmt: skip
    runner = build(tmp_path, [dict(type='mask_plugins.FeatureHook'), ema],
                   [RANKME])  # fmt: skip
    runner.train()
    line = log_lines(tmp_path, 'val_log.json')[-1]
    hub = runner.message_hub
    origin = hub.get_scalar('val/rankme/rank_origin').current()
    values = features(runner, build_test_set(runner.cfg)).values
    assert math.isclose(origin, rankme(values), rel_tol=1e-6)
    assert not math.isclose(origin, line['rankme/rank'], rel_tol=1e-4)


def rank_of_two(folder, wanted):
    """25 samples in batches of 16; 50 in one process."""
    runner = build(
        folder,
        [HOOK],
        [RANKME, KNN, SELF],
        launcher='pytorch',
        model_wrapper_cfg=dict(
            type='MMDistributedDataParallel', device_ids=None
        ),
        **{'env_cfg.dist_cfg.backend': 'gloo'},
    )
    weights = torch.load(f'{folder}/weights.pth')
    runner.model.module.load_state_dict(weights)
    found = runner.test()
    for key, value in wanted.items():
        assert math.isclose(found[key], value, rel_tol=1e-6), key


@pytest.mark.ddp
def test_two_processes_measure_what_one_does(trained, tmp_path):
    torch.save(trained.model.state_dict(), tmp_path / 'weights.pth')
    run_ranks(rank_of_two, tmp_path, expected(trained))


def test_without_the_hook(tmp_path):
    runner = build(tmp_path, [], [RANKME])
    with pytest.raises(RuntimeError, match=r'mask_plugins\.FeatureHook'):
        runner.test()
    runner = build(tmp_path, [dict(HOOK, bank=False)], [KNN])
    with pytest.raises(RuntimeError, match='bank=True'):
        runner.test()


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: RankMe(normalize='column'), "one of .*got 'column'"),
        (lambda: RankMe(max_samples=-1), 'at least 0, got -1'),
        (lambda: KNNAccuracy(k=0), 'k must be an int of at least 1, got 0'),
        (lambda: KNNAccuracy(topk=(1, 0)), 'topk must be .* got 0'),
        (lambda: KNNAccuracy(topk=()), r'topk must be .* got \(\)'),
        (lambda: KNNAccuracy(topk=(1, 1)), 'topk must be .* each once'),
        (lambda: KNNAccuracy(temperature=0), 'above 0, got 0'),
        (lambda: KNNAccuracy(bank='test'), "one of .*got 'test'"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize('kind', ['FeatureHook', 'RankMeHook'])
def test_a_layer_that_is_not_there(tmp_path, kind):
    hook = dict(type=f'mask_plugins.{kind}', layer='nek')
    with pytest.raises(ValueError, match=r"no layer 'nek'.*'backbone'"):
        build(tmp_path, [hook]).train()
