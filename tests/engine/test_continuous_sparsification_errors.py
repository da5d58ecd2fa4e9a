# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What ContinuousSparsificationHook refuses."""

import pytest
from torch import nn

from mask_plugins.core.weights.rewind_point import RewindPoint
from mask_plugins.core.weights.sparsification_plan import SparsificationPlan
from mask_plugins.engine.hooks import ContinuousSparsificationHook

from .test_continuous_sparsification_hook import SMALL, SparseToy
from .toys import ToyModel, build_runner


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rounds=0), 'rounds must be an int of at least 1, got 0'),
        (dict(epochs_per_round=1.5), 'epochs_per_round must be an int'),
        (dict(final_temperature=0.5), 'final_temperature must be a number'),
        (dict(rewind_epoch=2), r'rewind_epoch must be .* \[0, 1\], got 2'),
        (dict(prune_temperature='start'), 'prune_temperature must be'),
        (dict(target_sparsity=1.0), 'target_sparsity must be .* below 1'),
        (dict(ticket_by='random'), 'needs a target_sparsity'),
        (dict(ticket_by='luck', target_sparsity=0.5), "got 'luck'"),
        (dict(test_masks='hard'), "got 'hard'"),
        (dict(reset_momentum=True), 'reset_momentum must be one of'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ContinuousSparsificationHook(**{**SMALL, **options})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(epochs=5), r'2 \* 2 \+ 2 = 6, got 5'),
        (dict(model=ToyModel), 'the model has no soft masks'),
        (dict(loop='iter'), 'by_epoch=True'),
        (dict(accumulate=2), 'accumulative_counts must divide .* 3 .* got 2'),
        (dict(resume=True), 'use load_from'),
    ],
)
def test_runs_that_do_not_fit(tmp_path, options, message):
    if 'resume' in options:  # from another kind of run
        build_runner(tmp_path, model=SparseToy, epochs=1).train()
    hooks = [ContinuousSparsificationHook(**SMALL)]
    runner = build_runner(
        tmp_path, hooks, **{'model': SparseToy, 'epochs': 6, **options}
    )
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_rewind_before_take():
    model = nn.Linear(2, 2)
    point = RewindPoint()
    with pytest.raises(RuntimeError, match='nothing to rewind to'):
        point.rewind(model)
    assert point.take(model)
    assert not point.take(model)
    with pytest.raises(RuntimeError, match='has changed'):
        point.rewind(nn.Linear(2, 2, bias=False))


def test_one_epoch_per_round_has_the_final_temperature():
    assert SparsificationPlan(1, 1, 1, 200.0).temperature(0, 1) == 200
