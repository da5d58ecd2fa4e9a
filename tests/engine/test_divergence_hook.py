# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run that diverges has failed, and keeps its last finite checkpoint."""

import math

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mask_plugins.engine.checkpoint.run_state import EXIT_DIVERGED, read_state
from mask_plugins.engine.hooks import DivergenceHook, PreemptionHook
from mask_plugins.engine.hooks.divergence_hook import Diverged

from ..common.processes import run_ranks
from ..common.runs import load, names
from .toys import build_runner

BEST = dict(save_best='toy/acc', max_keep_ckpts=1)


class Break(Hook):
    """Put a value into the weight or the logged loss of an iteration."""

    priority = 'VERY_HIGH'

    def __init__(self, at, value=math.nan, where='weight', times=1):
        self.at, self.value = range(at, at + times), value
        self.where = where

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs={}):  # noqa: B006
        if runner.iter in self.at:
            if self.where == 'weight':
                weight = next(runner.model.parameters())
                weight.data.view(-1)[0] = self.value
            else:
                outputs['loss'] = torch.tensor(self.value)


def run(work_dir, *hooks, **kwargs):
    kwargs.setdefault('checkpoint', BEST)
    runner = build_runner(
        work_dir, hooks=[DivergenceHook(), *hooks], epochs=3, **kwargs
    )
    runner.train()
    return runner


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ('at', 'where'), [(3, 'weight'), (4, 'weight'), (4, 'loss'), (5, 'weight')]
)
def test_it_ends_and_keeps_what_was_finite(tmp_path, at, where, value):
    with pytest.raises(Diverged) as end:
        run(tmp_path, Break(at, value, where))
    assert end.value.code == EXIT_DIVERGED == 3
    assert names(tmp_path) == ['best_toy_acc_epoch_1.pth', 'epoch_1.pth']
    for name in names(tmp_path):
        weights = load(tmp_path / name)['state_dict'].values()
        assert all(w.isfinite().all() for w in weights)
    state = read_state(tmp_path)
    assert (state['state'], state['resumable']) == ('failed', False)
    assert 'finite' in state['reason']


def test_a_rate_that_is_far_too_high(tmp_path):
    with pytest.raises(Diverged):
        run(tmp_path, optimizer=dict(type='SGD', lr=1e30))
    assert names(tmp_path) == []


def test_preemption_does_not_save_it(tmp_path):
    """Where nothing was finite, nothing is written."""
    with pytest.raises(SystemExit) as end:
        build_runner(
            tmp_path, hooks=[Break(0), PreemptionHook(max_time=1e-9)]
        ).train()
    assert end.value.code == 74
    assert 'not finite' in read_state(tmp_path)['problem']
    assert names(tmp_path) == []


def test_a_finite_run_is_unchanged_and_done(tmp_path):
    a, b = run(tmp_path / 'a'), build_runner(tmp_path / 'b', epochs=3)
    b.train()
    assert torch.equal(a.model.linear.weight, b.model.linear.weight)
    assert read_state(tmp_path / 'a')['state'] == 'done'


def test_a_repaired_run_is_done(tmp_path):
    with pytest.raises(Diverged):
        run(tmp_path, Break(3))
    run(tmp_path)
    assert read_state(tmp_path)['state'] == 'done'


@pytest.mark.parametrize(('times', 'ends'), [(3, False), (4, True)])
def test_skipped_steps_of_mixed_precision(tmp_path, monkeypatch, times, ends):
    """A loss scaler skips them; too many in a row are too many."""
    from mmengine.optim import OptimWrapper

    import mask_plugins.engine.hooks.divergence_hook as module

    monkeypatch.setattr(module, 'AmpOptimWrapper', OptimWrapper)
    hooks = [DivergenceHook(patience=4), Break(1, math.inf, 'loss', times)]
    runner = build_runner(tmp_path, hooks=hooks, epochs=3)
    if ends:
        with pytest.raises(Diverged):
            runner.train()
        assert '4 iterations in a row' in read_state(tmp_path)['reason']
    else:
        runner.train()


def test_a_score_that_is_not_finite_is_not_the_best(tmp_path):
    values = (1.0, math.nan, math.inf)
    run(tmp_path, metric=dict(values=values))
    assert names(tmp_path) == ['best_toy_acc_epoch_1.pth', 'epoch_3.pth']


@pytest.mark.parametrize('name', ['interval', 'patience'])
@pytest.mark.parametrize('value', [0, 1.5, True, None, math.nan])
def test_bad_arguments(name, value):
    with pytest.raises((TypeError, ValueError), match=f'{name} must be'):
        DivergenceHook(**{name: value})


def rank_of_two(folder):
    """The loss of rank 1 alone is not finite, in iteration 1 of 2."""
    hooks = [DivergenceHook(interval=2)]
    if get_rank() == 1:
        hooks.append(Break(0, where='loss'))
    build_runner(folder, hooks=hooks).train()


@pytest.mark.ddp
def test_all_ranks_end_together(tmp_path):
    run_ranks(rank_of_two, tmp_path, code=EXIT_DIVERGED)
    assert 'loss is not finite' in read_state(tmp_path)['reason']
