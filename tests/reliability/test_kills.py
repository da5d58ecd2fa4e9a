# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Killed at any moment and resumed, a run ends as an undisturbed one."""

import random
import shutil

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


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """The folder of one undisturbed run of a method."""
    base = tmp_path_factory.mktemp('undisturbed')

    def folder(method):
        if not (base / method).exists():
            code, output = train(base / method, method)
            assert code == 0, output
        return base / method

    return folder


def kill(whole, killed, method, moment, count):
    """Kill the run there; begin a new one where it was at its end before."""
    name = 'SIGTERM' if moment == 'stop' else 'SIGKILL'
    moment = 'iteration' if moment == 'stop' else moment
    options = WORKERS if moment == 'worker' else []
    expected = 75 if name == 'SIGTERM' else -9
    for times in (count, max(1, count // 2), 1):
        code, output = train(
            killed, method, *options, moment=moment, count=times, name=name
        )
        assert code in (expected, 0), (moment, times, output)
        if code == expected:
            return
        assert_same_run(killed, whole)
        shutil.rmtree(killed)
    raise AssertionError(f'{moment} is never reached')


def survive(whole, killed, method, moments, seed, figures):
    """Kill one run at each moment, and resume it to its end."""
    rng = random.Random(f'{method} {seed}')
    for moment in moments:
        if moment == 'validation' and method == 'pass':
            moment = 'iteration'  # it has none
        count = rng.randint(1, MOMENTS.get(moment, MOMENTS['iteration']))
        kill(whole, killed, method, moment, count)
        figures['kills'] += 1
    code, output = train(killed, method)
    assert code == 0, output
    assert_same_run(killed, whole)
    figures['runs'] += 1


def test_a_few(tmp_path, undisturbed, figures):
    moments = ['save', 'stop']
    survive(undisturbed('cs'), tmp_path / 'killed', 'cs', moments, 0, figures)


@pytest.mark.reliability
@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('method', METHODS)
def test_all_methods(tmp_path, undisturbed, method, seed, figures):
    moments = random.Random(f'{seed} {method}').sample([*MOMENTS, 'stop'], 4)
    whole, killed = undisturbed(method), tmp_path / 'killed'
    survive(whole, killed, method, moments, seed, figures)
