# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A probe next to the classifier's accuracy, which it never touches."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook

from mask_plugins.apis.data import build_test_set
from mask_plugins.apis.features import build_train_set
from mask_plugins.engine.hooks import LinearProbeHook
from mask_plugins.functional.linear_probe import LinearProbe

from ..common.runs import log_lines
from .feature_runs import build
from .test_feature_hook import features

HOOK = dict(type='mask_plugins.LinearProbeHook')
AUGMENTED = [
    dict(type='mask_plugins.SeedSample'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]


def expected(runner):
    train = features(runner, build_train_set(runner.cfg))
    test = features(runner, build_test_set(runner.cfg))
    probe = LinearProbe().fit(train.values, train.labels)
    return probe.accuracy(test.values, test.labels)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    runner = build(
        folder, [HOOK], **{'train_dataloader.dataset.pipeline': AUGMENTED}
    )
    runner.train()
    return runner


def test_it_is_logged_beside_the_accuracy(trained):
    lines = log_lines(trained.work_dir, 'val_log.json')
    assert 'probe/top1' not in lines[0]
    assert lines[1]['probe/top1'] == expected(trained)
    assert lines[1]['probe/train_top1'] >= lines[1]['probe/top1']
    assert lines[1]['acc1'] == lines[1]['accuracy/top1']
    hub = trained.message_hub
    assert hub.get_scalar('val/probe/top1').current() == expected(trained)


def test_the_run_is_the_one_without(trained, tmp_path):
    plain = build(tmp_path, **{'train_dataloader.dataset.pipeline': AUGMENTED})
    plain.train()
    other = trained.model.state_dict()
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, other[name]), name
    line = log_lines(tmp_path, 'val_log.json')[1]
    mine = log_lines(trained.work_dir, 'val_log.json')[1]
    assert line['acc1'] == mine['acc1']


def test_a_test_probes_too(trained, tmp_path):
    runner = build(tmp_path, [dict(HOOK, interval=1)])
    runner.model.load_state_dict(trained.model.state_dict())
    found = runner.test()
    assert found['probe/top1'] == expected(trained)
    written = next(Path(tmp_path).glob('*/*.json')).read_text()
    assert json.loads(written)['probe/top1'] == found['probe/top1']


def test_the_average_of_an_ema_hook_is_probed(tmp_path):
    ema = dict(type='EMAHook', momentum=0.3, evaluate_on_origin=False)
    runner = build(tmp_path, [ema, HOOK])
    runner.train()
    line = log_lines(tmp_path, 'val_log.json')[-1]
    (average,) = (h for h in runner.hooks if isinstance(h, EMAHook))
    runner.model.load_state_dict(average.ema_model.module.state_dict())
    assert line['probe/top1'] == expected(runner)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(interval=-1), 'interval must be .* got -1'),
        (dict(limit=1.5), 'limit must be .* got 1.5'),
        (dict(l2=-1.0), 'l2 must be a number of at least 0, got -1'),
        (dict(l2=float('inf')), 'l2 must be .* finite'),
        (dict(max_iter=0), 'max_iter must be .* got 0'),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        LinearProbeHook(**change)
