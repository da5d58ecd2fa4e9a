# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import json
import subprocess

import pytest

from mask_plugins.sweeps import (
    SlurmOptions,
    make_manifest,
    read_manifest,
    read_spec,
)
from mask_plugins.sweeps.chunks import split
from mask_plugins.sweeps.script import render
from mask_plugins.sweeps.slurm_client import last_tasks
from tests.small_run import QUICKSTART, ROOT

TEMPLATE = (ROOT / 'tools' / 'slurm' / 'array.sbatch').read_text()
CONFIG = """
train_cfg = dict(by_epoch=True, max_epochs=2)
randomness = dict(seed=0)
train_dataloader = dict(dataset=dict(data_root='{root}/train'))
"""


def plan(folder, changes=None, config=QUICKSTART, **options):
    changes = changes or {'train_cfg.max_epochs': [1, 2]}
    spec = read_spec(str(config), changes, [0])
    return make_manifest(spec, folder, SlurmOptions(**options))


def script(made, **limits):
    chunks = split(range(len(made.runs)), made.slurm.pack, **limits)
    return render(made, TEMPLATE, chunks)


def test_the_script_is_bash_and_has_what_was_asked_for(tmp_path):
    made = plan(
        tmp_path, throttle=3, partition='gpu', gres='gpu:2', time='1:00:00',
        tasks_per_node=2, requeue=False, prologue='module load x\n',
    )  # fmt: skip
    text = script(made)
    subprocess.run(['bash', '-n'], input=text, text=True, check=True)
    for line in (
        '--array=0-1%3', '--partition=gpu', '--gres=gpu:2', '--time=1:00:00',
        '--ntasks-per-node=2', '--no-requeue', '--signal=USR1@120',
        f'--output={tmp_path}/logs/%A_%a.out',
    ):  # fmt: skip
        assert f'#SBATCH {line}\n' in text
    assert 'module load x\n' in text
    assert '--resume --launcher slurm' in text
    assert 'requeue=no ' in text
    assert '@@' not in text


@pytest.mark.parametrize(
    ('count', 'pack', 'limits', 'expected'),
    [
        (3, 1, {}, {0: [[0], [1], [2]]}),
        (5, 1, dict(array_limit=2), {0: [[0], [1]], 2: [[2], [3]], 4: [[4]]}),
        (5, 2, dict(array_limit=2), {0: [[0, 1], [2, 3]], 2: [[4]]}),
        (5, 2, dict(room=1), {0: [[0, 1]]}),
        (5, 9, {}, {0: [[0, 1, 2, 3, 4]]}),
        (5, 1, dict(room=0), {}),
    ],
)
def test_runs_are_split_into_arrays(count, pack, limits, expected):
    found = {}
    for chunk in split(range(count), pack, **limits):
        assert max(chunk.tasks) < limits.get('array_limit', 99)
        found[chunk.offset] = [
            [i for i in chunk.indices if chunk.task(i) == task]
            for task in chunk.tasks
        ]
    assert found == expected


def test_runs_that_are_left_out_are_not_in_it(tmp_path):
    changes = {'train_cfg.max_epochs': [1, 2, 3, 4]}
    made = plan(tmp_path, changes, pack=3)
    text = script(made, room=1)
    subprocess.run(['bash', '-n'], input=text, text=True, check=True)
    assert 'max_epochs-3' in text
    assert 'max_epochs-4' not in text
    assert '%A_%a.task' in text
    assert '#SBATCH --array=0\n' in text


def test_no_path_of_this_machine_is_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = script(plan('work_dirs/a'))
    assert str(tmp_path) not in text
    assert str(ROOT) not in text
    assert 'sweep=work_dirs/a\n' in text


def test_staged_data(tmp_path):
    data = tmp_path / 'data'
    data.mkdir()
    config = tmp_path / 'c.py'
    config.write_text(CONFIG.format(root=data))

    def staged(source):
        made = plan(tmp_path / 's', config=config, stage=str(source))
        return script(made)

    text = staged(data)
    subprocess.run(['bash', '-n'], input=text, text=True, check=True)
    assert 'inside=(train_dataloader.dataset.data_root=/train)' in text
    with pytest.raises(ValueError, match=r'data_root are .*/data/train'):
        staged(tmp_path / 's')
    with pytest.raises(ValueError, match='there is nothing at .*nowhere'):
        staged('nowhere')


def test_a_misspelt_key_is_found_before_anything_is_written(tmp_path):
    folder = tmp_path / 's'
    with pytest.raises(ValueError, match='near keys: train_cfg.max_epochs'):
        plan(folder, {'train_cfg.max_epoch': [1, 2]})
    assert not folder.exists()
    made = plan(folder, {'+train_cfg.val_begin': [1, 2]})
    assert made.runs[0].overrides['train_cfg.val_begin'] == 1


def test_another_sweep_is_not_overwritten(tmp_path):
    plan(tmp_path)
    plan(tmp_path)
    with pytest.raises(ValueError, match='holds another sweep'):
        plan(tmp_path, {'train_cfg.max_epochs': [3, 4]})


def test_keys_that_nothing_reads_are_refused(tmp_path):
    """Their runs would be equal, to the last digit."""
    config = tmp_path / 'c.py'
    config.write_text(
        'base_lr = 5e-4\ntrain_cfg = dict(max_epochs=2)\n'
        'optim_wrapper = dict(optimizer=dict(lr=base_lr))\n'
        'randomness = dict(seed=0)\n'
    )
    messages = {
        'base_lr': "'base_lr' is a variable of .* optim_wrapper.optimizer.lr",
        'work_dir': "'work_dir' is not in the config",
        '+work_dir': 'each run of a sweep has its own',
    }
    for key, message in messages.items():
        with pytest.raises(ValueError, match=message):
            plan(tmp_path / 's', {key: [1e-3, 1e-4]}, config)
    assert not (tmp_path / 's').exists()
    # Of a key that only a hook of the user reads, '+' says so.
    made = plan(tmp_path / 's', {'+base_lr': [1e-3, 1e-4]}, config)
    assert made.runs[1].overrides['base_lr'] == 1e-4


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda m: m.update(format=2), 'no manifest of format 1'),
        (lambda m: m.pop('keep'), 'must have the keys'),
        (lambda m: m.update(keep='rm'), 'keep must be'),
        (lambda m: m.update(amp='no'), 'amp must be True or False'),
        (lambda m: m.update(name='..'), 'name must be letters'),
        (lambda m: m.update(seconds_per_epoch='x'), 'seconds_per_epoch must'),
        (lambda m: m.update(runs=[]), 'runs must be some'),
        (lambda m: m.update(runs=5), 'runs must be a list'),
        (lambda m: m['runs'][1].update(index=0), r'runs\[1\].index must'),
        (lambda m: m['runs'][0].update(name='/x'), r'runs\[0\].name must be'),
        (lambda m: m['runs'][0].update(name='..'), r'runs\[0\].name must be'),
        (lambda m: m['runs'][1].update(name='max_epochs-1_seed-0'),
         'of different names'),
        (lambda m: m['runs'][0].update(config='no.py'), 'no config no.py'),
        (lambda m: m['runs'][0].update(config='../c.py'), 'config must be'),
        (lambda m: m['runs'][0].update(overrides={}), 'at least a seed'),
        (lambda m: m['runs'][0].update(work_dir='/x'), 'must have'),
        (lambda m: m['runs'][0].update(epochs='2'), 'epochs must be an int'),
        (lambda m: m['slurm'].update(nodes=0), 'nodes must be an int of at'),
        (lambda m: m['slurm'].update(requeue='no'), 'requeue must be True'),
        (lambda m: m['slurm'].update(partition='a\nb'), 'one line'),
        (lambda m: m['slurm'].update(time='2', lead=61), 'lead=61 s and'),
        (lambda m: m['slurm'].update(x=1), 'slurm must have some of'),
    ],
)  # fmt: skip
def test_a_manifest_is_checked(tmp_path, change, message):
    plan(tmp_path)
    path = tmp_path / 'manifest.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        read_manifest(tmp_path)
    assert str(path) in str(error.value)


def test_submissions_are_checked(tmp_path):
    text = '[{"job": "--all", "indices": [0]}]'
    (tmp_path / 'submissions.json').write_text(text)
    with pytest.raises(ValueError, match=r'submissions\.json: .*--all'):
        last_tasks(str(tmp_path))


def test_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match='sweep.py plan CONFIG --out'):
        read_manifest(tmp_path)
