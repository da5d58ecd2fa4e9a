# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A search that is killed twenty times loses nothing and doubles nothing."""

import json
import random
import signal

import pytest

from tests.sweeps import search_runs

pytest.importorskip('optuna')
pytestmark = pytest.mark.reliability

TRIALS = 12
KILLS = 20
ASHA = dict(first=1, reduction=2)


def make(folder):
    return search_runs.make(folder, asha=ASHA, trials=TRIALS, startup=4)


def assert_whole(folder):
    """Each trial once, ended, and each of its iterations logged once."""
    found = search_runs.trials(folder)
    assert [trial[0] for trial in found] == [*range(TRIALS)]
    assert {trial[2] for trial in found} <= {'COMPLETE', 'PRUNED'}
    runs = sorted(path.name for path in (folder / 'runs').iterdir())
    assert runs == [f'trial-{number:04}' for number in range(TRIALS)]
    for name, trial in zip(runs, found):
        log = (folder / 'runs' / name / 'train_log.json').read_text()
        steps = [json.loads(line)['iteration'] for line in log.splitlines()]
        assert steps == [*range(4 * max(trial[4]))]


def test_one_worker(tmp_path, figures):
    """It ends bit-identical with the undisturbed search."""
    whole, folder = make(tmp_path / 'whole'), make(tmp_path / 'killed')
    search_runs.finish(whole)
    share = search_runs.iterations(whole) // (KILLS + 1)
    rng = random.Random(1)
    kills = 0
    for _ in range(KILLS):
        name = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        kills += search_runs.kill_at(folder, rng.randint(0, share), name)
    search_runs.finish(folder)
    search_runs.assert_same_search(folder, whole)
    assert_whole(folder)
    figures['kills of a search'] += kills
    assert kills == KILLS


def test_four_workers(tmp_path, figures):
    folder = make(tmp_path / 's')
    workers = [search_runs.start_worker(folder) for _ in range(4)]
    rng = random.Random(2)
    kills = 0
    for _ in range(3 * KILLS):
        place = rng.randrange(4)
        workers[place].join(rng.uniform(0.2, 2))
        if workers[place].exitcode is None:
            workers[place].kill()
            kills += 1
        if kills == KILLS:
            break
        workers[place].join()
        workers[place] = search_runs.start_worker(folder)
    for worker in workers:
        worker.join(600)
    search_runs.finish(folder)
    assert_whole(folder)
    figures['kills of four workers'] += kills
