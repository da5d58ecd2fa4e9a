# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Sweeps and preemption on a real SLURM; no part of it is a mock."""

import json
import re
import time

import pytest
import torch
from mmengine.config import Config

from mask_plugins.engine.checkpoint.run_state import read_state

from ..common.runs import assert_same_run, log_lines
from ..small_run import QUICKSTART, ROOT
from ..sweeps.search_runs import write_spec
from .cluster import ACCOUNTING, PROGRAMS, cluster, why_not
from .conftest import BIN, ITERATIONS, TINY, Sweep, plain

pytestmark = pytest.mark.slurm


def stopped_at(sweep):
    """The iteration after which a run was stopped, once."""
    found = re.findall(
        r'got SIGUSR1; saving after iteration (\d+)', sweep.log()
    )
    assert len(set(found)) == 1, sweep.log()
    assert 'stopped: yes, cancelled: no' in sweep.log()
    assert 'back into the queue' in sweep.log()
    assert 'attempt 2' in sweep.log()
    return int(found[0])


def test_a_signalled_run_requeues_by_itself_and_ends_the_same(jobs):
    sweep = jobs['stopped']
    # In the queue or started again: never submitted a second time.
    assert 'nothing to submit' in sweep('resubmit', sweep.folder)
    sweep.wait_for_done()
    assert stopped_at(sweep) % ITERATIONS
    jobs['undisturbed'].wait_for_done()
    assert_same_run(sweep.run(), jobs['undisturbed'].run())
    lines = log_lines(sweep.run(), 'train_log.json')
    assert [line['iteration'] for line in lines] == [*range(3 * ITERATIONS)]


def test_the_same_for_two_tasks(jobs):
    """The batch shell alone was told; it has passed the signal on."""
    sweep = jobs['two_stopped']
    sweep.wait_for_done()
    # Two processes: half of the iterations.
    assert stopped_at(sweep) % (ITERATIONS // 2)
    jobs['two_undisturbed'].wait_for_done()
    assert_same_run(sweep.run(), jobs['two_undisturbed'].run())
    lines = log_lines(sweep.run(), 'train_log.json')
    assert len(lines) == 3 * ITERATIONS // 2


def test_an_array_of_four(jobs):
    sweep = jobs['array']
    sweep.wait_for_done(4)
    assert sweep.states() == ['done'] * 4
    sweep('collect', sweep.folder)
    result = json.loads((sweep.folder / 'compare_runs.json').read_text())
    assert [group['n'] for group in result['groups']] == [4]
    names = {path.name for path in (sweep.folder / 'logs').iterdir()}
    assert names == {f'{sweep.id}_{index}.out' for index in range(4)}
    jobs = {sweep.state(index)['job'] for index in range(4)}
    assert jobs == {f'{sweep.id}_{index}' for index in range(4)}


def test_more_runs_than_an_array_may_have(jobs):
    """MaxArraySize of this cluster is 5."""
    sweep = jobs['large']
    submitted = json.loads((sweep.folder / 'submissions.json').read_text())
    assert [s['indices'] for s in submitted] == [
        [0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12],
    ]  # fmt: skip
    sweep.wait_for_done(13)
    assert sweep.states() == ['done'] * 13
    logs = {path.name for path in (sweep.folder / 'logs').glob('*.out')}
    assert logs == {f'{s["job"]}_{i}.out' for s in submitted
                    for i in s['indices']}  # fmt: skip
    assert 'nothing to submit' in sweep('resubmit', sweep.folder)


def test_more_runs_than_a_user_may_submit(stub, tmp_path):
    """MaxSubmitJobs, which the data base of a cluster keeps, is 6 here."""
    missing = why_not((*PROGRAMS, *ACCOUNTING))
    if missing:
        pytest.skip(missing)
    with cluster(max_submit=6) as small:
        # Of a job that is not ours it is 5.
        other = small.run(
            'sbatch', '--parsable', '--wrap', 'sleep 600', cwd=tmp_path
        )
        sweep, left = Sweep(small, tmp_path / 'sweep'), 13
        seeds = ','.join(map(str, range(left)))
        command = sweep.plan(TINY, '--prologue', stub, seeds=seeds)
        while left > 5:
            out, left = sweep(*command), left - 5
            assert f'{left} runs are not submitted' in out
            assert 'takes 6 tasks of a user at a time' in out
            sweep.wait_for_done(13 - left)
            sweep.wait(lambda: small.queued() == 1, 'the end')
            command = 'resubmit', sweep.folder
        # The last three; all of them have room.
        small.run('scancel', other.strip())
        assert 'are not submitted' not in sweep(*command)
        sweep.wait_for_done(13)
        assert sweep.states() == ['done'] * 13


def test_several_runs_in_a_task(jobs):
    """Stopped in its second run, a task continues with that one."""
    sweep = jobs['packed']
    sweep.wait_for_done(3)
    assert [sweep.log(index).count('attempt 1') for index in range(3)] == [
        1, 1, 0 if 'attempt 2' in sweep.log(2) else 1,
    ]  # fmt: skip
    assert 'attempt 2' not in sweep.log(0)
    assert 'back into the queue' in sweep.log(1)
    lines = log_lines(sweep.run(1), 'train_log.json')
    assert [line['iteration'] for line in lines] == [*range(3 * ITERATIONS)]
    assert {sweep.state(i)['job'] for i in range(2)} == {f'{sweep.id}_0'}


def test_two_tasks_through_mim_without_a_gpu(mim_runs):
    work_dir, process = mim_runs['train']
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    # 64 images, 8 per process and iteration, 2 epochs.
    assert len(log_lines(work_dir, 'train_log.json')) == 8
    checkpoint = torch.load(work_dir / 'epoch_2.pth', weights_only=True)
    assert not any(k.startswith('module.') for k in checkpoint['state_dict'])


def test_a_grid_search_of_mim_without_a_gpu(mim_runs):
    work_dir, process = mim_runs['gridsearch']
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    runs = sorted(work_dir.parent.glob('run_search*'))
    assert len(runs) == 2, out
    for run, lr in zip(runs, (0.001, 0.002)):
        lines = log_lines(run, 'train_log.json')
        assert max(line['lr'] for line in lines) == pytest.approx(lr)


def test_a_task_that_fails_is_resubmitted(make_sweep, tmp_path, slurm, jobs):
    sweep = make_sweep('fails')
    weights = tmp_path / 'weights.pth'
    sweep.submit([*TINY, f'load_from=None,{weights}'])
    sweep.wait_for_done(1)
    sweep.wait(lambda: sweep.states() == ['done', 'failed'], 'failed')
    shown = sweep('status', sweep.folder, '--json')
    assert 'FileNotFoundError' in shown
    torch.save(dict(state_dict={}), weights)
    out = sweep('resubmit', sweep.folder)
    assert '1 of 2 runs (1)' in out
    sweep.wait_for_done(2)
    assert 'nothing to submit' in sweep('resubmit', sweep.folder)
    assert (
        len(json.loads((sweep.folder / 'submissions.json').read_text())) == 2
    )


def test_a_time_limit_ends_a_task(jobs):
    """Killed by SLURM, it has saved; it is not put back into the queue."""
    sweep = jobs['limit']
    sweep.wait(lambda: sweep.states() == ['preempted'], 'the limit')
    assert 'DUE TO TIME LIMIT' in sweep.log()
    state = sweep.state()
    assert state['state'] == 'preempted'
    assert state['reason'] == 'got SIGTERM'
    assert state['resumable']
    last = (sweep.run() / 'last_checkpoint').read_text()
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint['meta']['iter'] == state['iteration'] > 0
    assert 'back into the queue' not in sweep.log()


def test_a_signal_comes_ahead_of_the_time_limit(jobs):
    sweep = jobs['lead']
    sweep.wait(lambda: 'ended with code' in sweep.log(), 'the signal')
    # However early it comes (SLURM says up to a minute), it is on purpose.
    assert sweep.state()['reason'] == 'got SIGUSR1', sweep.log()
    assert 'DUE TO TIME LIMIT' not in sweep.log()
    assert 'stopped: yes, cancelled: no' in sweep.log()
    # --max-requeues 0: it is left to `resubmit`.
    assert 'back into the queue' not in sweep.log()


def test_a_node_that_is_drained_and_resumed(make_sweep, slurm, jobs):
    sweep = make_sweep('drained')
    node = ('scontrol', 'update', 'nodename=node1')
    slurm.run(*node, 'state=drain', 'reason=test')
    try:
        sweep.submit(TINY)
        sweep.wait(lambda: sweep.states() == ['pending'], 'pending')
        # SLURM has two sentences for it, and at first none.
        sweep.wait(
            lambda: any(
                sentence in sweep('status', sweep.folder, '--json')
                for sentence in ('UnavailableNodes:node1', 'DRAINED')
            ),
            'why the task is pending',
        )
        assert 'nothing to submit' in sweep('submit', sweep.folder)
    finally:
        slurm.run(*node, 'state=resume')
    sweep.wait_for_done()
    assert sweep.states() == ['done']


def test_a_search_of_two_workers(slurm, tmp_path, jobs):
    """One is stopped inside a trial, requeued, and none is lost."""
    pytest.importorskip('optuna')
    path = write_spec(tmp_path / 's.yaml', {'train_cfg.max_epochs': 40})
    out = tmp_path / 'out'
    script = ROOT / 'tools' / 'slurm' / 'search.sbatch'
    job = slurm.run(
        'sbatch', '--parsable', '--gres=none', '--time=30', '--array=0-1',
        '--cpus-per-task=1', f'--output={tmp_path}/%a.out', script,
        path, '--trials', 3, '--out', out,
        env=dict(PATH=f'{BIN}:{slurm.env["PATH"]}'), cwd=tmp_path,
    ).strip()  # fmt: skip

    def wait(condition):
        deadline = time.monotonic() + 400
        while not condition():
            logs = '\n'.join(p.read_text() for p in tmp_path.glob('*.out'))
            assert time.monotonic() < deadline, logs
            time.sleep(0.1)

    def worker():
        record = out / 'trials' / '0001.json'
        if not record.exists():
            return None
        return json.loads(record.read_text())['worker']

    # The second trial: whose worker is it?
    log = out / 'runs' / 'trial-0001' / 'train_log.json'
    wait(lambda: worker() and log.exists())
    first = worker()['slurm']
    task = int(first['job'].split('.')[0]) != int(job)
    slurm.run('scancel', '--signal=USR1', f'{job}_{int(task)}.0')
    wait(lambda: any('back into' in p.read_text()
                     for p in tmp_path.glob('*.out')))  # fmt: skip
    runs = [out / 'runs' / f'trial-{n:04}' for n in range(3)]

    def done():
        states = [(read_state(run) or {}).get('state') for run in runs]
        return set(states) == {'done'}

    wait(done)
    for run in runs:
        lines = log_lines(run, 'train_log.json')
        assert [line['iteration'] for line in lines] == [*range(160)]


def test_templates_for_one_node_and_several(slurm, tmp_path, jobs):
    """They say what is to be edited; here the head is given to sbatch."""
    root = QUICKSTART.parents[2]
    found = {}
    for name in ('one_node', 'several_nodes'):
        script = root / 'tools' / 'slurm' / f'{name}.sbatch'
        out = slurm.run(
            'sbatch', '--parsable', '--wait', '--gres=none', '--nodes=1',
            '--ntasks-per-node=1', '--cpus-per-task=1', '--time=30',
            f'--output={tmp_path}/{name}.out', script, QUICKSTART,
            '--work-dir', tmp_path / name, '--cfg-options', *plain(TINY),
            env=dict(PATH=f'{root}/.venv/bin:{slurm.env["PATH"]}'),
            cwd=tmp_path, check=False,
        )  # fmt: skip
        found[name] = (tmp_path / f'{name}.out').read_text() + out
    for name, text in found.items():
        state = tmp_path / name / 'run_state.json'
        assert state.exists(), text
        assert json.loads(state.read_text())['state'] == 'done', text


def test_a_plain_array_over_mim(slurm, tmp_path, jobs):
    """The original's scripts, by position, without the sweep tool."""
    script = ROOT / 'tools' / 'slurm' / 'plain_array.sbatch'
    settings = [
        'train_dataloader.batch_size=8', 'train_cfg.max_epochs=3',
        'train_dataloader.dataset.indices=400',
        'val_dataloader.dataset.indices=20',
        'model.teacher.begin=1', 'custom_hooks.1.interval=1',
    ]  # fmt: skip
    configs = ROOT / 'configs' / 'masked_feature'
    path = f'{BIN}:{slurm.env["PATH"]}'

    def submit(array, out, config, *arguments):
        return slurm.run(
            'sbatch', '--parsable', '--gres=none', '--mem=0', '--time=30',
            f'--array={array}', '--cpus-per-task=1',
            f'--output={tmp_path}/{out}_%a.out', script, *arguments, *settings,
            env=dict(PATH=path, CONFIG=str(configs / config), OUT=out),
            cwd=tmp_path,
        ).strip()  # fmt: skip

    kd = submit(
        '0,4', 'kd', 'kd-ema_resnet18-c16_1xb64-15e_digits.py', 'kd-ema', 2.0
    )
    submit(
        '4', 'masked', 'masked-feature-ema_resnet18-c16_1xb64-15e_digits.py',
        'masked-head', 0.9, 'v1', 'sgf', 0.1, 'ema',
    )  # fmt: skip
    logs = [tmp_path / f'{name}.out' for name in ('kd_0', 'kd_4', 'masked_4')]
    runs = [tmp_path / name for name in ('kd/.9', 'kd/.1', 'masked/.3')]

    def wait(condition):
        deadline = time.monotonic() + 300
        while not condition():
            text = '\n'.join(log.read_text() for log in logs if log.exists())
            assert time.monotonic() < deadline, text
            time.sleep(0.1)

    # Inside the second of three epochs of 50 iterations.
    train_log = runs[0] / 'train_log.json'
    wait(lambda: train_log.exists() and train_log.read_text().count('\n') > 60)
    slurm.run('scancel', '--signal=USR1', f'{kd}_0.0')

    def done():
        states = [(read_state(run) or {}).get('state') for run in runs]
        return set(states) == {'done'}

    wait(done)
    assert 'back into the queue' in logs[0].read_text()
    for run in runs:
        lines = log_lines(run, 'train_log.json')
        assert [line['iteration'] for line in lines] == [*range(150)]
    found = [Config.fromfile(*run.glob('*.py')).model for run in runs]
    momenta = [model.teacher.momentum for model in found]
    assert momenta == [0.9, 0.1, 0.1]
    assert [model.get('loss_weight') for model in found[:2]] == [2.0, 2.0]
    model = found[2]
    assert (model.scope, model.head.loss_weight) == ('head', 0.3)
    assert (model.head.mask_ratio, model.head.inv_mode) == (0.9, 'v1')
    assert (model.head.mask_mode, model.teacher.mode) == ('sgf', 'ema')
