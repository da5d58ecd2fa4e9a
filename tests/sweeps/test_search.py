# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A search that is killed ends as an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from mask_plugins.sweeps.search.asha import continues, rungs
from mask_plugins.sweeps.search.axis import Axis
from mask_plugins.sweeps.search.spec import (
    make_search,
    read_search,
    write_search,
)
from mask_plugins.sweeps.search.study import Search
from mask_plugins.sweeps.search.trial_record import TrialRecord
from mask_plugins.sweeps.search.worker import Worker

from ..common.processes import run_python, start
from ..common.tools import end_of
from ..small_run import ROOT
from . import search_runs

pytest.importorskip('optuna')

SWEEP = ROOT / 'tools' / 'slurm' / 'sweep.py'
ASHA = dict(first=1, reduction=2)


# ------------------------------------------------------------------- the file
@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(trials=0), 'trials must be'),
        (dict(space={}), 'at least one key'),
        (dict(space={'a.b': [1]}), "'a.b' is not in the config"),
        (dict(space={'a.b': 3}), 'a list of values, or a map'),
        (dict(space={'a.b': dict(low=2, high=1)}), r'space\.a\.b\.high'),
        (dict(space={'a.b': dict(low=0, high=1, log=True)}), 'low > 0'),
        (dict(space={'a.b': [[1]]}), 'no single value'),
        (dict(sampler='grid'), 'sampler must be'),
        (dict(more=1), 'some of the keys'),
        (dict(metric='acc1:most'), 'the end of the metric'),
        (dict(asha=dict(reduction=1)), r'asha\.reduction'),
        (
            dict(base={'train_cfg.val_interval': 2}, asha=ASHA),
            'validates both only every 2 epochs',
        ),
        (
            dict(base={'default_hooks.preemption': None}),
            r'default_hooks\.preemption',
        ),
    ],
)
def test_a_wrong_file_is_named(change, said, tmp_path):
    path = search_runs.write_spec(tmp_path / 's.yaml', **change)
    with pytest.raises((TypeError, ValueError), match=said):
        make_search(path)


def test_a_search_is_read_as_it_was_written(tmp_path):
    folder = search_runs.make(tmp_path / 's', asha=ASHA)
    spec = read_search(folder)
    assert spec.rungs() == [1, 2]
    assert spec.space[0].log
    path = tmp_path / 's.yaml'
    again, cfg = make_search(path, trials=7)
    write_search(folder, again, cfg)
    assert read_search(folder) == spec._replace(trials=7)
    other, cfg = make_search(search_runs.write_spec(path, seed=1))
    with pytest.raises(ValueError, match='another search'):
        write_search(folder, other, cfg)
    content = json.loads((folder / 'search.json').read_text())
    for change in (dict(format=2), dict(name='../a'), dict(config='../c.py')):
        (folder / 'search.json').write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=r'search\.json'):
            read_search(folder)


def test_other_commands_refuse_a_search(tmp_path, monkeypatch):
    folder = search_runs.make(tmp_path / 's')
    said = end_of(monkeypatch, 'slurm/sweep', 'submit', folder)
    assert '`sweep.py search` works on it' in said
    said = end_of(monkeypatch, 'slurm/sweep', 'plan', tmp_path / 's.yaml')
    assert 'it describes a search' in said


def test_without_optuna(tmp_path, monkeypatch):
    folder = search_runs.make(tmp_path / 's')
    monkeypatch.setitem(sys.modules, 'optuna', None)
    said = end_of(monkeypatch, 'slurm/sweep', 'search', folder)
    assert 'pip install "mask_plugins[search]"' in said


# ------------------------------------------------------------------- the rules
def test_rungs_and_who_continues():
    assert rungs(2, 4, 30) == [2, 8]
    assert rungs(5, 3, 5) == []
    values = [10.0, 60.0, 50.0, 55.0, 40.0, 70.0]
    said = [
        continues(value, values[:number], 3, 'maximize')
        for number, value in enumerate(values)
    ]
    assert said == [True, True, False, False, False, True]
    assert continues(1.0, [1.0, 1.0], 2, 'minimize')


def test_a_trial_is_drawn_again_as_it_was(tmp_path, monkeypatch):
    """Killed between asking and drawing, and between two settings."""
    whole = Search(str(tmp_path / 'a'), _spec(tmp_path))
    expected = []
    for number in range(4):
        claimed = whole.take()
        expected.append(claimed.run.overrides)
        whole.report(number, {1: float(number)})
        whole.finish(number, 'COMPLETE', float(number))
    suggest, calls = Axis.suggest, []

    def dies(axis, trial):
        calls.append(axis)
        if len(calls) in (1, 4, 9):
            raise KeyboardInterrupt
        return suggest(axis, trial)

    monkeypatch.setattr(Axis, 'suggest', dies)
    found = []
    while len(found) < 4:
        search = Search(str(tmp_path / 'b'), _spec(tmp_path))
        try:
            claimed = search.take()
        except KeyboardInterrupt:
            continue
        found.append(claimed.run.overrides)
        search.report(claimed.number, {1: float(claimed.number)})
        search.finish(claimed.number, 'COMPLETE', float(claimed.number))
        claimed.record.release()
    assert len(calls) > 8
    assert found == expected
    assert search.take().number == 4


def _spec(folder):
    path = search_runs.write_spec(folder / 's.yaml', asha=ASHA)
    return make_search(path)[0]


def test_a_decision_is_made_once(tmp_path):
    search = Search(str(tmp_path / 's'), _spec(tmp_path))
    for number, value in enumerate([50.0, 40.0]):
        search.take()
        search.report(number, {1: value})
    assert not search.continues(1, 1)
    assert search.continues(0, 1)
    again = Search(str(tmp_path / 's'), _spec(tmp_path))
    again.report(1, {1: 99.0, 2: 1.0})  # what is known stays
    assert not again.continues(1, 1)


def test_a_torn_line_of_the_journal_is_cut(tmp_path):
    search = Search(str(tmp_path / 's'), _spec(tmp_path))
    search.take()
    journal = tmp_path / 's' / 'journal.log'
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 5, "tri')
    again = Search(str(tmp_path / 's'), _spec(tmp_path))
    assert journal.read_bytes().startswith(whole)
    assert all(map(json.loads, journal.read_text().splitlines()))
    assert len(again.trials()) == 1


# ------------------------------------------------------------------ who has it
def test_who_has_a_trial(tmp_path, monkeypatch):
    record = TrialRecord(str(tmp_path), 0)
    record.claim('trial-0000', {})
    seen = TrialRecord(str(tmp_path), 0)
    assert record.is_mine()
    assert seen.is_free() is False
    content = json.loads((tmp_path / 'trials' / '0000.json').read_text())

    def write(**worker):
        changed = {**content, 'worker': {**content['worker'], **worker}}
        (tmp_path / 'trials' / '0000.json').write_text(json.dumps(changed))

    write(process_start='1')
    assert seen.is_free() is True
    write(token='other')
    assert not record.is_mine()
    # Of another node only its signs of life say it.
    write(boot='other', host='elsewhere')
    assert seen.is_free() is None
    path = tmp_path / 'trials' / '0000.json'
    os.utime(path, (1, 1))
    assert seen.is_free() is False
    seen = TrialRecord(str(tmp_path), 0)
    assert seen.is_free() is None
    clock = time.monotonic() + 1000
    monkeypatch.setattr(time, 'monotonic', lambda: clock)
    assert seen.is_free() is True
    # A former attempt of the same SLURM task.
    write(boot='other', slurm=dict(job='7.0', restart='0'))
    seen = TrialRecord(str(tmp_path), 0)
    monkeypatch.setenv('SLURM_JOB_ID', '7')
    monkeypatch.setenv('SLURM_RESTART_COUNT', '1')
    assert seen.is_free() is True
    path.write_text('[]')
    assert seen.is_free() is True


# --------------------------------------------------------- trainings that fail
class Stub(Worker):
    """A worker whose trainings only end."""

    commands = ()

    def _launch(self, command, log):
        self.launched = getattr(self, 'launched', 0) + 1
        line = self.commands[min(self.launched, len(self.commands)) - 1]
        return subprocess.Popen(['bash', '-c', line])


def test_trainings_that_fail(tmp_path, capsys):
    folder = search_runs.make(tmp_path / 's')
    worker = Stub(Search(str(folder), read_search(folder)), 'train.py', {})
    # Killed again and again without an iteration more, it is given up.
    worker.commands = ['kill -9 $$'] * 4 + ['exit 1']
    with pytest.raises(RuntimeError, match='three trials in a row failed'):
        worker.run()
    assert worker.launched == 4 + 2
    assert 'trial 1: failed with code 1' in capsys.readouterr().out
    states = [trial[2] for trial in search_runs.trials(folder)]
    assert states == ['FAIL'] * 3
    # No room to save: the trial waits for it.
    worker.commands = ['exit 74']
    assert worker.run() == 74
    assert search_runs.trials(folder)[3][2] == 'RUNNING'
    assert worker.search.take().number == 3


def test_a_trial_that_was_taken_over_is_left(tmp_path):
    folder = search_runs.make(tmp_path / 's')
    search = Search(str(folder), read_search(folder))
    worker = Stub(search, 'train.py', {})
    claimed = search.take()
    TrialRecord(str(folder), 0).claim('trial-0000', {})
    with pytest.raises(RuntimeError, match='taken over by another worker'):
        worker._train(claimed)
    claimed.record.release()
    assert TrialRecord(str(folder), 0).is_free() is False


# ----------------------------------------------------------------- whole ones
@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """The folder of a search of one worker."""
    folder = search_runs.make(
        tmp_path_factory.mktemp('whole') / 's', asha=ASHA
    )
    search_runs.finish(folder)
    return folder


@pytest.mark.slow
def test_an_undisturbed_search(undisturbed):
    found = search_runs.trials(undisturbed)
    assert [trial[0] for trial in found] == [*range(5)]
    states = {trial[2] for trial in found}
    assert states == {'COMPLETE', 'PRUNED'}
    for number, params, state, value, values, _ in found:
        assert set(params) == set(search_runs.SPACE)
        if state == 'COMPLETE':
            assert value == [max(values.values())]
            assert set(values) == {1, 2, 3}
        run = undisturbed / 'runs' / f'trial-{number:04}'
        record = json.loads((run / 'run_state.json').read_text())
        expected = dict(COMPLETE='done', PRUNED='pruned')[state]
        assert record['state'] == expected
    rows = json.loads(run_python(SWEEP, 'status', undisturbed, '--json'))
    assert {row['state'] for row in rows} == {'done', 'pruned'}


@pytest.mark.slow
def test_a_search_killed_five_times(undisturbed, tmp_path):
    share = search_runs.iterations(undisturbed) // 6
    folder = search_runs.make(tmp_path / 's', asha=ASHA)
    rng = random.Random(0)
    for _ in range(5):
        name = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        assert search_runs.kill_at(folder, rng.randint(0, share), name)
    search_runs.finish(folder)
    search_runs.assert_same_search(folder, undisturbed)


@pytest.mark.slow
def test_four_workers(tmp_path):
    """None is lost and none is doubled, though two of them are killed."""
    folder = search_runs.make(tmp_path / 's', asha=ASHA)
    workers = [search_runs.start_worker(folder) for _ in range(4)]
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not any(
        folder.glob('runs/*/train_log.json')
    ):
        time.sleep(0.01)
    for worker in workers[:2]:
        worker.kill()
    workers += [search_runs.start_worker(folder) for _ in range(2)]
    for worker in workers:
        worker.join(300)
    assert [w.exitcode for w in workers] == [-9, -9, 0, 0, 0, 0]
    found = search_runs.trials(folder)
    assert [trial[0] for trial in found] == [*range(5)]
    assert {trial[2] for trial in found} <= {'COMPLETE', 'PRUNED'}
    runs = sorted(path.name for path in (folder / 'runs').iterdir())
    assert runs == [f'trial-{number:04}' for number in range(5)]
    for name, trial in zip(runs, found):
        lines = (folder / 'runs' / name / 'train_log.json').read_text()
        steps = [
            json.loads(line)['iteration'] for line in lines.split('\n')[:-1]
        ]
        assert steps == [*range(4 * max(trial[4]))]


@pytest.mark.slow
def test_the_command_line(tmp_path):
    """Stopped by a signal, continued by the same command; table, picture."""
    path = search_runs.write_spec(tmp_path / 's.yaml')
    out = tmp_path / 'out'
    options = ['search', path, '--trials', '2', '--out', out]
    process = start(sys.executable, SWEEP, *options)
    log = out / 'runs' / 'trial-0000' / 'run_state.json'
    deadline = time.monotonic() + 300
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 75, said
    assert 'the same command continues' in said
    said = run_python(SWEEP, 'search', out, '-j', 2)
    assert 'best: trial' in said
    result = json.loads((out / 'search_result.json').read_text())
    assert [t['state'] for t in result['trials']] == ['complete'] * 2
    assert (out / 'search.png').stat().st_size > 1000
    said = run_python(SWEEP, 'collect', out)
    assert 'trial-0001' in said
