# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Killed at any moment and resumed, a run ends as an undisturbed one."""

import random

import pytest

from tests.common.methods import METHODS, run_tool, write_config
from tests.engine.test_resume import assert_same_run

# The greatest count, which each method reaches after a resume too.
MOMENTS = dict(iteration=4, save=14, validation=1, worker=1, time=600)
WORKERS = ['--cfg-options', 'train_dataloader.num_workers=1']


def train(folder, method, *args, **death):
    hooks = []
    if death:
        hooks = [dict(type='mask_plugins.DeathHook', **death)]
    config = write_config(method, folder.parent / f'{folder.name}.py', hooks)
    if death:
        with open(config, 'a') as file:
            file.write(
                'custom_imports = dict(imports=["tests.reliability.deaths"])\n'
            )
    args = (config, '--work-dir', folder, '--resume', *args)
    codes, output = run_tool(folder, 'train.py', *args, timeout=1500)
    return codes[0], output[0]


def survive(tmp_path, method, moments, seed):
    """Kill one run at each moment; returns how many kills hit it."""
    rng = random.Random(f'{method} {seed}')
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    code, output = train(whole, method)
    assert code == 0, output
    hits = 0
    for moment in moments:
        name = 'SIGTERM' if moment == 'stop' else 'SIGKILL'
        moment = 'iteration' if moment == 'stop' else moment
        if moment == 'validation' and method == 'pass':
            moment = 'iteration'  # it has none
        count = rng.randint(1, MOMENTS[moment])
        options = WORKERS if moment == 'worker' else []
        code, output = train(
            killed, method, *options, moment=moment, count=count, name=name
        )
        # It may have been at its end before.
        expected = 75 if name == 'SIGTERM' else -9
        assert code in (expected, 0), (moment, count, output)
        hits += code == expected
    code, output = train(killed, method)
    assert code == 0, output
    assert_same_run(killed, whole)
    return hits


def test_a_few(tmp_path, figures):
    hits = survive(tmp_path, 'cs', ['save', 'stop'], 0)
    assert hits == 2
    figures['kills'] += hits


@pytest.mark.reliability
@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('method', METHODS)
def test_all_methods(tmp_path, method, seed, figures):
    moments = random.Random(f'{seed} {method}').sample([*MOMENTS, 'stop'], 4)
    hits = survive(tmp_path, method, moments, seed)
    assert hits >= 2
    figures['kills'] += hits
    figures['runs'] += 1
