# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run that was stopped is one run in the tracker, each value once.

The clients are real and offline; what is not installed is skipped:
``pip install -r requirements/trackers.txt``.
"""

import json
from types import SimpleNamespace

import pytest

from mask_plugins.engine.checkpoint.run_state import EXIT_PREEMPTED
from mask_plugins.engine.tracking import TrackerRecord
from mask_plugins.registry import HOOKS

from ..common.runs import TIMES, load_last
from ..common.wandb_files import read_runs
from .resume_runs import at, run

CLIENTS = dict(
    Wandb='wandb', MLflow='mlflow', Tensorboard='tensorboard',
    Neptune='neptune',
)  # fmt: skip


def options_of(kind, folder):
    """The backend's own options: nothing leaves the machine."""
    if kind == 'Wandb':
        settings = dict(disable_code=True, console='off')
        kwargs = dict(mode='offline', project='test', settings=settings)
        return dict(init_kwargs=kwargs)
    if kind == 'MLflow':
        uri = f'sqlite:///{folder}/mlflow.db'
        return dict(
            tracking_uri=uri, exp_name='test', artifact_suffix='.py',
            artifact_location=f'{folder}/artifacts',
        )  # fmt: skip
    return {}


def hook_of(kind, folder, **options):
    backend = dict(type=f'{kind}VisBackend', **options_of(kind, folder))
    return dict(type='mask_plugins.TrackerHook', backend=backend, **options)


def train(kind, work_dir, *args, end=None, **options):
    """Train with a tracker; each iteration is logged."""
    hooks = [hook_of(kind, work_dir.parent, group='my_sweep')]
    if end is not None:
        hooks += at(**end)['hooks']
    options.setdefault('default_hooks.logger.interval', 1)
    return run(work_dir, *args, hooks=hooks, **options)


def record_of(kind, work_dir):
    path = work_dir / f'tracker_{kind.lower()}.json'
    return TrackerRecord.read(path)


def read_wandb(work_dir):
    runs, rows = read_runs(work_dir)
    # Of a run that continues, the files of the first start say it.
    assert {run[1:] for run in runs} == {('my_sweep', work_dir.name)}
    assert len({step for step, *_ in rows}) == max(row[0] for row in rows) + 1
    return {run[0] for run in runs}, rows


def read_mlflow(work_dir):
    from mlflow import MlflowClient

    uri = options_of('MLflow', work_dir.parent)['tracking_uri']
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name('test')
    runs = client.search_runs([experiment.experiment_id])
    rows = []
    for one in runs:
        assert one.data.tags['group'] == 'my_sweep'
        assert one.info.run_name == work_dir.name
        for name in one.data.metrics:
            history = client.get_metric_history(one.info.run_id, name)
            rows += [(value.step, name, value.value) for value in history]
    assert {one.info.status for one in runs} <= {'FINISHED', 'KILLED'}
    return {one.info.run_id for one in runs}, rows


def read_tensorboard(work_dir):
    from tensorboard.backend.event_processing import event_accumulator

    rows, runs = [], list((work_dir / 'tensorboard').iterdir())
    for folder in runs:
        events = event_accumulator.EventAccumulator(
            str(folder), dict(event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE)
        )
        events.Reload()
        for name in events.Tags()['scalars']:
            rows += [(e.step, name, e.value) for e in events.Scalars(name)]
    return {folder.name for folder in runs}, rows


def read_neptune(work_dir):
    # What waits to be sent: one folder per start. The id is not in it.
    rows, starts = [], list((work_dir / '.neptune' / 'offline').iterdir())
    for folder in starts:
        text = ''.join(path.read_text() for path in folder.glob('data-*.log'))
        operations = [json.loads(line)['obj'] for line in text.splitlines()]
        tags = [one for one in operations if one['type'] == 'AddStrings']
        assert [one['values'] for one in tags] == [['my_sweep']]
        for one in operations:
            if one['type'] == 'LogFloats' and one['path'][0] != 'monitoring':
                name = '/'.join(one['path'])
                rows += [(v['step'], name, v['value']) for v in one['values']]
    return {folder.name for folder in starts}, rows


READERS = dict(
    Wandb=read_wandb, MLflow=read_mlflow, Tensorboard=read_tensorboard,
    Neptune=read_neptune,
)  # fmt: skip


def logged(kind, work_dir):
    """Ids, and what was logged but for the times."""
    ids, rows = READERS[kind](work_dir)
    times = (*TIMES, 'data_time')
    rows = [row for row in rows if row[1].split('/')[-1] not in times]
    return ids, sorted(rows, key=lambda row: (row[1], row[0]))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['Tensorboard', 'Wandb', 'MLflow'])
def test_a_stopped_run_is_one_run(kind, tmp_path):
    pytest.importorskip(CLIENTS[kind])
    whole, work_dir = tmp_path / 'a' / 'run', tmp_path / 'b' / 'run'
    for folder in (whole, work_dir):
        folder.parent.mkdir()
    train(kind, whole)
    ids, expected = logged(kind, whole)
    assert len(ids) == 1
    # Three epochs of four iterations.
    losses = [row for row in expected if row[1] in ('loss', 'train/loss')]
    assert len(losses) == 12
    assert any('top1' in row[1] for row in expected)

    usr1 = dict(point='after_train_iter', count=6, names=['SIGUSR1'])
    train(kind, work_dir, end=usr1, code=EXIT_PREEMPTED)
    first = record_of(kind, work_dir)
    assert not first.ended
    # Killed after its 11th iteration, it continues with the 9th, from the
    # checkpoint of the second epoch.
    kill = dict(point='before_train_iter', count=6, names=['SIGKILL'])
    if kind != 'Wandb':  # its own process would be killed, too
        train(kind, work_dir, end=kill, code=-9)
    assert 'continues the run' in train(kind, work_dir, '--resume')
    found, rows = logged(kind, work_dir)
    assert rows == expected
    assert found == {first.id}
    assert record_of(kind, work_dir).ended
    # A new run in the folder is another one in the tracker.
    train(kind, work_dir)
    assert len(logged(kind, work_dir)[0]) == 2


def test_a_killed_run_without_a_checkpoint_begins_again(tmp_path):
    work_dir = tmp_path / 'run'
    kill = dict(point='after_train_iter', count=3, names=['SIGKILL'])
    train('Tensorboard', work_dir, end=kill, code=-9)
    first = record_of('Tensorboard', work_dir)
    train('Tensorboard', work_dir, **{'randomness.seed': 8})
    # Another config: not that run.
    assert record_of('Tensorboard', work_dir).id != first.id


@pytest.mark.parametrize(
    'change',
    [
        dict(id='../../elsewhere'), dict(id='x' * 65), dict(id=7),
        dict(format=2), dict(rows=-1), dict(steps=[1]),
        dict(steps={'loss': 'a'}), dict(ended='no'), dict(more=1),
    ],
)  # fmt: skip
def test_a_foreign_record_is_not_believed(change, tmp_path):
    path = tmp_path / 'tracker_x.json'
    record = TrackerRecord(path, 'digest')
    record.note(['loss'], 3)
    assert TrackerRecord.read(path).steps == {'loss': 3}
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps(content))
    with pytest.raises((TypeError, ValueError), match=str(path)):
        TrackerRecord.read(path)
    path.write_text('{' * 100_000)
    with pytest.raises(ValueError, match='is not JSON'):
        TrackerRecord.read(path)


def test_training_ignores_a_foreign_record(tmp_path):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    record = work_dir / 'tracker_tensorboard.json'
    record.write_text('{"id": "../../elsewhere"}')
    said = train('Tensorboard', work_dir)
    assert 'a new run begins' in said
    assert load_last(work_dir)['meta']['iter'] == 12
    ids, _ = logged('Tensorboard', work_dir)
    assert ids == {record_of('Tensorboard', work_dir).id}


@pytest.mark.slow
def test_mlflow_does_not_continue_a_run_of_others(tmp_path):
    mlflow = pytest.importorskip('mlflow')
    client = mlflow.MlflowClient(
        options_of('MLflow', tmp_path)['tracking_uri']
    )
    experiment = client.create_experiment(
        'test', artifact_location=str(tmp_path / 'artifacts')
    )
    other = client.create_run(experiment, run_name='of somebody else')
    work_dir = tmp_path / 'run'
    usr1 = dict(point='after_train_iter', count=6, names=['SIGUSR1'])
    train('MLflow', work_dir, end=usr1, code=EXIT_PREEMPTED)
    record = record_of('MLflow', work_dir)
    record.id = other.info.run_id
    record.write()
    assert 'cannot be continued' in train('MLflow', work_dir)
    assert not client.get_run(other.info.run_id).data.metrics
    assert record_of('MLflow', work_dir).id != other.info.run_id


def test_a_second_backend_of_the_same_kind_is_refused():
    hook = HOOKS.build(hook_of('Tensorboard', '.'))
    backends = dict(TensorboardVisBackend=None)
    visualizer = SimpleNamespace(_vis_backends=backends)
    with pytest.raises(ValueError, match='remove it there'):
        hook.before_train(SimpleNamespace(visualizer=visualizer))
    with pytest.raises(ValueError, match=r'backend\.type'):
        HOOKS.build(hook_of('Local', '.'))


def test_the_group_is_the_sweep(monkeypatch):
    monkeypatch.setenv('MASK_PLUGINS_SWEEP', 'digits8')
    assert HOOKS.build(hook_of('Tensorboard', '.')).group == 'digits8'


@pytest.mark.slow
def test_neptune_offline(tmp_path):
    """Two starts, each value once, under the same id of ours."""
    pytest.importorskip('neptune')
    whole, work_dir = tmp_path / 'whole', tmp_path / 'run'
    train('Neptune', whole)
    _, expected = logged('Neptune', whole)
    assert len([row for row in expected if row[1] == 'loss']) == 12
    usr1 = dict(point='after_train_iter', count=6, names=['SIGUSR1'])
    train('Neptune', work_dir, end=usr1, code=EXIT_PREEMPTED)
    first = record_of('Neptune', work_dir)
    train('Neptune', work_dir)
    starts, rows = logged('Neptune', work_dir)
    assert (len(starts), rows) == (2, expected)
    last = record_of('Neptune', work_dir)
    assert (first.id, last.ended) == (last.id, True)
