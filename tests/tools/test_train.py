# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""``tools/train.py`` as mim, torchrun and a user start it."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from ..common.processes import clean_environ, free_port, run_python, start
from ..common.tools import end_of
from ..small_run import QUICKSTART, ROOT, SMALL

TRAIN = ROOT / 'tools' / 'train.py'


def train(*options, config=QUICKSTART):
    return run_python(TRAIN, config, *options)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_mim_does_not_see_options_of_openmmlab_1():
    """Mim would add this one if it were there."""
    said = train('--help')
    assert '--gpus' not in said
    assert '--launcher' in said


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (None, 'config: file not found'),
        (['--resume', 'none.pth'], '--resume: file not found: none.pth'),
        (
            ['--cfg-options', 'load_from=none/x.pth'],
            'load_from: file not found: none/x.pth; there is no folder none',
        ),
        (
            ['--auto-scale-lr', '--cfg-options', 'auto_scale_lr=None'],
            'auto_scale_lr=dict(base_batch_size=',
        ),
        pytest.param(
            ['--amp'],
            '--amp: mixed precision needs a GPU',
            marks=pytest.mark.skipif(
                torch.cuda.is_available(), reason='for machines without'
            ),
        ),
        (['--launcher', 'pytorch'], 'torchrun --nproc_per_node'),
        (['--launcher', 'slurm'], 'srun --ntasks'),
    ],
)
def test_bad_input_is_named_and_writes_nothing(
    tmp_path, options, message, monkeypatch
):
    config = QUICKSTART if options else tmp_path / 'none.py'
    work_dir = tmp_path / 'run'
    options = ('--work-dir', work_dir, *(options or ()))
    error = end_of(monkeypatch, 'train', config, *options)
    assert error.startswith('train.py: ')
    assert message in error
    assert not work_dir.exists()


def test_train_and_resume(tmp_path):
    options = ('--work-dir', tmp_path, '--cfg-options', *SMALL)
    train(*options)
    assert len(lines(tmp_path / 'train_log.json')) == 2
    assert len(lines(tmp_path / 'val_log.json')) == 1
    train('--resume', '--no-validate', *options, 'train_cfg.max_epochs=2')
    log = lines(tmp_path / 'train_log.json')
    assert [line['iteration'] for line in log] == [0, 1, 2, 3]
    assert len(lines(tmp_path / 'val_log.json')) == 1


@pytest.mark.ddp
@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without')
@pytest.mark.parametrize(
    'starter', ['run', pytest.param('launch', marks=pytest.mark.slow)]
)
def test_two_processes_without_a_gpu(tmp_path, starter):
    """Torchrun, and torch.distributed.launch, which is what mim starts."""
    options = ('--work-dir', tmp_path, '--launcher', 'pytorch')
    run_python(
        '-m', f'torch.distributed.{starter}', '--nproc_per_node=2',
        f'--master_port={free_port()}', TRAIN, QUICKSTART, *options,
        '--cfg-options', *SMALL,
    )  # fmt: skip
    # 64 images, 32 per process and iteration: one iteration, one log.
    assert len(lines(tmp_path / 'train_log.json')) == 1
    assert len(lines(tmp_path / 'val_log.json')) == 1
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert not any(k.startswith('module.') for k in checkpoint['state_dict'])


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without')
def test_two_slurm_tasks_without_a_gpu(tmp_path):
    """What srun sets, stated here; a real srun is in the slurm tests."""
    environ = clean_environ(
        SLURM_NTASKS='2',
        SLURM_NODELIST='here',
        SLURM_NNODES='1',
        MASTER_PORT=str(free_port()),
    )
    options = ('--launcher', 'slurm', '--cfg-options', *SMALL)
    tasks = [
        start(
            sys.executable, TRAIN, QUICKSTART, '--work-dir', tmp_path,
            *options, env=dict(environ, SLURM_PROCID=rank, SLURM_LOCALID=rank),
        )
        for rank in '01'
    ]  # fmt: skip
    outputs = [task.communicate(timeout=600)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], '\n'.join(outputs)
    assert len(lines(tmp_path / 'train_log.json')) == 1


def test_a_signal_that_comes_too_early_is_not_lost(tmp_path):
    """It stops the run after its first iteration, with code 75."""
    options = ('--work-dir', tmp_path, '--cfg-options', *SMALL)
    process = start(sys.executable, TRAIN, QUICKSTART, *options)
    # Python needs some milliseconds to begin, and torch seconds to load.
    status = Path(f'/proc/{process.pid}/status')
    blocked = f'SigBlk:\t{1 << (signal.SIGUSR1 - 1):016x}'
    while process.poll() is None and blocked not in status.read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 75, out
    state = json.loads((tmp_path / 'run_state.json').read_text())
    assert state['iteration'] == 1
    train(*options)
    assert len(lines(tmp_path / 'train_log.json')) == 2


def test_a_quiet_run_prints_a_line_per_epoch(tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options', *SMALL]
    options += ['train_cfg.max_epochs=2']
    said = train('--quiet', *options).splitlines()
    assert said[0].startswith('log: ')
    epochs = [line for line in said if line.startswith('epoch ')]
    assert len(epochs) == 2
    for word in ('epoch 1/2', 'loss', 'drop ratio', 'top-1', 'left 0:0'):
        assert word in epochs[0]
    assert 'left' not in epochs[1]
    assert len(said) < 8
    log = Path(said[0].removeprefix('log: ')).read_text()
    assert 'Epoch(train) [2]' in log


@pytest.mark.slow
def test_a_verbose_run_has_the_log_on_the_console(tmp_path):
    said = train(
        '--verbose', '--work-dir', tmp_path, '--cfg-options', *SMALL
    )  # fmt: skip
    assert 'Epoch(val) [1]' in said
    assert 'MultiScaleDeformableAttention' not in said
