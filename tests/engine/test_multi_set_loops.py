# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Several data sets in one evaluation, in training and in test."""

import pytest

from tests.datasets.test_cifar10_1 import write

from ..common.runs import log_lines
from .feature_runs import DIGITS, build

OTHER = dict(DIGITS, indices=30)
RANKME = dict(type='mask_plugins.RankMe')


def loops(**extra):
    return {
        f'{mode.lower()}_cfg': dict(
            type=f'mask_plugins.MultiSet{mode}Loop', extra_sets=extra
        )
        for mode in ('Val', 'Test')
    }


def test_metrics_of_each_set_have_its_name(tmp_path):
    few = dict(OTHER, indices=11, evaluator=[dict(type='Accuracy', topk=5)])
    few.pop('pipeline')  # that of the main set
    hook = dict(type='mask_plugins.FeatureHook')
    runner = build(tmp_path / 'a', [hook], [RANKME],
                   **loops(other=OTHER, few=few))  # fmt: skip
    runner.train()
    found = runner.test()
    build(tmp_path / 'b').train()
    lines, expected = (log_lines(tmp_path / x, 'val_log.json') for x in 'ab')
    for line, wanted in zip(lines, expected):
        for key in ('acc1', 'accuracy/top1', 'loss'):
            assert line[key] == wanted[key]
        assert line['other/rankme/samples'] == 30
        assert line['rankme/samples'] == 50
        assert 'few/accuracy/top5' in line
        assert 'few/accuracy/top1' not in line
    # What a set alone gives.
    alone = build(
        tmp_path / 'c', [hook], [RANKME], **{'test_dataloader.dataset': OTHER}
    )
    alone.model.load_state_dict(runner.model.state_dict())
    wanted = alone.test()
    for key in ('accuracy/top1', 'rankme/rank'):
        assert found[f'other/{key}'] == wanted[key]
    assert runner.test_loop.dataloader.dataset is not None
    assert len(runner.test_loop.dataloader.dataset) == 50
    hub = runner.message_hub
    assert hub.get_scalar('val/other/accuracy/top1') is not None


def test_the_pipeline_of_a_wrapped_set(tmp_path):
    few = dict(OTHER, indices=11)
    few.pop('pipeline')
    wrapped = dict(
        _delete_=True,
        type='mask_plugins.ClassSubset',
        classes=list(range(10)),
        dataset=dict(DIGITS, indices=50),
    )
    runner = build(
        tmp_path, **loops(few=few), **{'test_dataloader.dataset': wrapped}
    )
    assert 'few/accuracy/top1' in runner.test()


def test_cifar10_1_beside_another_set(tmp_path):
    (tmp_path / 'data').mkdir()
    write(tmp_path / 'data')
    cifar = dict(
        type='mask_plugins.CIFAR10_1', data_root=str(tmp_path / 'data')
    )
    runner = build(tmp_path / 'run', **loops(cifar10_1=cifar))
    found = runner.test()
    assert 0 <= found['cifar10_1/accuracy/top1'] <= 30
    assert next(iter(found)) == 'accuracy/top1'


@pytest.mark.parametrize(
    ('extra', 'error', 'message'),
    [
        ({'a/b': OTHER}, ValueError, "no '/', got 'a/b'"),
        ({'a': [OTHER]}, TypeError, 'dict of names'),
        ({'a': dict(OTHER, evaluator=3)}, TypeError, 'evaluator of a .*got 3'),
    ],
)
def test_bad_settings(tmp_path, extra, error, message):
    with pytest.raises(error, match=message):
        build(tmp_path, **loops(**extra)).test()
