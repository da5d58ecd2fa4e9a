# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Thresholds per layer, on networks that are formulas."""

import itertools

import pytest

from mask_plugins.analysis.streams.threshold_search import (
    Trial,
    drop_gates,
    greedy_path,
    last_within,
    match_skip_ratio,
    within,
)

GRID = [0.01 * 1.5**i for i in range(12)]
# What a threshold of 1 saves and its error, by layer.
WORTH = dict(early=(1.0, 0.3), middle=(0.6, 0.6), late=(0.1, 0.9))
GATE = 0.04


def evaluate(thresholds):
    cost, square, skips = 0.0, 0.0, {}
    for name, threshold in thresholds.items():
        seconds, error = WORTH[name]
        skips[name] = 0.0 if threshold is None else threshold**0.5
        cost += seconds * (1 - skips[name])
        cost += 0.0 if threshold is None else GATE
        square += (error * (threshold or 0)) ** 2
    return Trial(dict(thresholds), square**0.5, cost, skips)


@pytest.mark.parametrize('limit', [0.02, 0.05, 0.1, 0.2])
def test_greedy_is_near_the_best_of_all(limit):
    trials = []
    path = greedy_path(evaluate, list(WORTH), GRID, limit, trials.append)
    found = within(path, limit)
    settings = itertools.product(GRID, repeat=3)
    every = [evaluate(dict(zip(WORTH, values))) for values in settings]
    best = min(t.cost for t in every if t.error <= limit)
    assert found.error <= limit
    assert found.cost <= 1.1 * best
    assert len(trials) < 3 * len(path) + 3


def test_what_saves_most_for_its_error_is_raised_first():
    path = greedy_path(evaluate, list(WORTH), GRID, 0.1)
    found = within(path, 0.1).thresholds
    assert found['early'] > found['middle'] > found['late']


def test_a_plateau_is_crossed():
    """A layer that is dense below a skip ratio of 0.4 gains by a leap."""

    def falls_back(thresholds):
        trial = evaluate(thresholds)
        late = trial.skip_ratios['early']
        dearer = late * WORTH['early'][0] if late < 0.4 else 0.0
        return trial._replace(cost=trial.cost + dearer)

    path = greedy_path(falls_back, ['early'], GRID, 0.1)
    assert within(path, 0.1).thresholds['early'] ** 0.5 >= 0.4


def test_a_gate_that_does_not_pay_is_dropped():
    trial = within(greedy_path(evaluate, list(WORTH), GRID, 0.05), 0.05)
    dropped = drop_gates(evaluate, trial)
    assert dropped.thresholds['late'] is None
    assert dropped.thresholds['early'] == trial.thresholds['early']
    assert dropped.cost < trial.cost
    assert dropped.error < trial.error


def test_skip_ratio_per_layer():
    trial = match_skip_ratio(evaluate, list(WORTH), GRID, 0.5)
    least = min(value for value in GRID if value**0.5 >= 0.5)
    assert set(trial.thresholds.values()) == {least}
    assert all(value >= 0.5 for value in trial.skip_ratios.values())


def test_bad_arguments():
    for text, layers, grid, limit in (
        ('at least one layer', [], GRID, 0.1),
        ('grid must rise', list(WORTH), [0.2, 0.1], 0.1),
        ('max_error must be .* above 0, got 0', list(WORTH), GRID, 0),
    ):
        with pytest.raises(ValueError, match=text):
            greedy_path(evaluate, layers, grid, limit)
    with pytest.raises(ValueError, match=r'skip_ratio must be .*\(0, 1\)'):
        match_skip_ratio(evaluate, list(WORTH), GRID, 1.0)
    path = greedy_path(evaluate, list(WORTH), GRID, 0.1)
    with pytest.raises(ValueError, match='no thresholds keep the error'):
        within(path, 1e-6)


@pytest.mark.parametrize('limit', [0.05, 0.08, 0.15])
def test_a_path_is_judged_on_other_frames(limit):
    asked = []

    def older(thresholds):  # references have aged: twice the error
        asked.append(thresholds)
        trial = evaluate(thresholds)
        return trial._replace(error=2 * trial.error)

    path = greedy_path(evaluate, list(WORTH), GRID, 0.1)
    found = last_within(path, older, limit)
    kept = [t for t in path if 2 * t.error <= limit]
    assert found.thresholds == kept[-1].thresholds
    assert found.error == 2 * kept[-1].error <= limit
    assert len(asked) <= 2 + len(path).bit_length()
    with pytest.raises(ValueError, match='no thresholds keep the error'):
        last_within(path, older, 1e-4)
