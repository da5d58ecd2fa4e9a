# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Commands, and functions and tools in forked processes."""

import gc
import json
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from unittest import mock

import mmengine.config.config as config_module
import mmengine.runner.runner as runner_module
import torch
import torch.distributed as dist
from yapf.yapflib import yapf_api

from mask_plugins.utils.compat_torch import leave_process_group

ROOT = Path(__file__).parents[2]
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload([
    'matplotlib.pyplot',
    'mmpretrain.datasets',
    'mmpretrain.evaluation',
    'mmpretrain.models',
    'mmpretrain.visualization',
    'sklearn.datasets',
    'tests.common.methods',
])  # fmt: skip


# What a launcher, a job or a checkout around would set.
FOREIGN = (
    'RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT', 'SLURM', 'SBATCH',
    'SRUN', 'PYTHONPATH',
)  # fmt: skip


def clean_environ(**changes):
    """The environment without any launcher's variables, changed."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    quiet = dict(OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')
    return {**own, **quiet, **changes}


def start(*command, env=None, **kwargs):
    """Start a command; output in one."""
    return subprocess.Popen(
        [str(part) for part in command],
        env=env or clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **kwargs,
    )


def run(*command, code=0, timeout=900, **kwargs):
    """What a command prints, which has to end with this exit code."""
    with start(*command, **kwargs) as process:
        try:
            out, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()
    assert process.returncode == code, f'{command}\n{out}'
    return out


def run_python(*command, **kwargs):
    """:func:`run` of this Python."""
    return run(sys.executable, *command, **kwargs)


def run_ranks(function, *args, ranks=2, code=0, timeout=240):
    """Call a function on each rank of a gloo process group.

    Args:
        function (Callable): A function of a module. It finds its rank in
            ``torch.distributed``.
        *args: What can be pickled.
        ranks (int): Number of processes.
        code (int | list[int]): The exit codes expected, a negative one for a
            signal.
        timeout (float): Seconds until all are killed.

    Returns:
        str: Output of all ranks, one after the other.
    """
    codes, output = _fork(_join, (function, args), ranks, timeout)
    expected = code if isinstance(code, list) else [code] * ranks
    assert codes == expected, (codes, *output)
    return ''.join(output)


def run_tool(folder, name, *args, ranks=1, timeout=240):
    """Run a file of ``tools``; exit codes and output of each rank.

    The folder, to which it writes, is made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    args = [str(arg) for arg in args]
    if ranks > 1:
        args += ['--launcher', 'pytorch']
    return _fork(_tool, (name, args), ranks, timeout)


def metrics_of(checkpoint, config, folder):
    """What tools/test.py finds."""
    out = folder / 'metrics.json'
    codes, output = run_tool(
        folder, 'test.py', config, checkpoint, '--work-dir', folder,
        '--out', out, '--out-item', 'metrics',
    )  # fmt: skip
    assert codes == [0], output
    return json.loads(out.read_text())


def as_it_is(text, **kwargs):
    """In place of yapf, which formats each config that is logged."""
    return text, True


@contextmanager
def unformatted_configs():
    """Log configs without formatting, which takes longer than most tests."""
    # mmengine imports it with the module, OneDL's at each call.
    with ExitStack() as stack:
        for module in (yapf_api, config_module):
            stack.enter_context(
                mock.patch.object(module, 'FormatCode', as_it_is, create=True)
            )
        yield


def free_port():
    """A port nobody listens on; 0 would leave the workers without one."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def _fork(function, args, ranks, timeout):
    port = free_port()
    end = time.monotonic() + timeout
    # Not in the folder of the run, whose disk a test may fill.
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f'{rank}.txt') for rank in range(ranks)]
        processes = [
            PROCESSES.Process(
                target=_enter, args=(function, args, file, rank, ranks, port)
            )
            for rank, file in enumerate(files)
        ]
        for process in processes:
            process.start()
        for process in processes:
            # One that is stopped when those before it have ended never ends.
            while process.is_alive() and time.monotonic() < end:
                process.join(0.5)
                if process is not processes[0] and _is_stopped(process.pid):
                    break
            process.kill()
            process.join()
        codes = [process.exitcode for process in processes]
        return codes, [file.read_text() for file in files]


def _is_stopped(pid):
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] == 'T'


def _enter(function, args, file, rank, ranks, port):
    out = os.open(file, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    gc.freeze()  # mmengine's datasets collect garbage
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(ranks),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    runner_module.collect_env = dict  # takes longer than a run
    os.chdir(ROOT)
    torch.set_num_threads(1)
    code = 0
    try:
        with unformatted_configs():
            function(*args)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        print(end)
    except BaseException:
        code = 1
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _join(function, args):
    # Long, because a loaded machine starts one process much after another.
    dist.init_process_group('gloo', timeout=timedelta(seconds=180))
    try:
        function(*args)
    finally:
        # Threads of gloo that still run when Python ends abort the process.
        leave_process_group()


def _tool(name, args):
    sys.argv = [name, *args]
    runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
