# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Run commands, and a function of a test module in several processes."""

import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

ROOT = Path(__file__).parents[2]


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
    """Call a function on each rank of a process group and wait for all.

    Args:
        function (Callable): A function of a module that imports nothing of a
            running test. It finds its rank in ``torch.distributed``.
        *args: JSON values; paths become str.
        ranks (int): Number of processes.
        code (int | list[int]): The exit codes expected, a negative one for a
            signal.
        timeout (float): Seconds until all are killed.

    Returns:
        str: Output of all ranks, one after the other.
    """
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    name = f'{function.__module__}:{function.__qualname__}'
    text = json.dumps(args, default=str)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f'{rank}.txt') for rank in range(ranks)]
        processes = []
        for rank, path in enumerate(files):
            command = [sys.executable, '-m', __name__, name, text, folder]
            with path.open('wb') as out:
                processes.append(
                    subprocess.Popen(
                        [*command, str(rank), str(ranks)],
                        env=dict(env, LOCAL_RANK=str(rank)),
                        stdout=out,
                        stderr=subprocess.STDOUT,
                        cwd=ROOT,
                    )
                )
        end = time.monotonic() + timeout
        try:
            for process in processes:
                process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass  # the codes say who was killed
        finally:
            for process in processes:
                process.kill()
        codes = [process.wait() for process in processes]
        output = ''.join(
            f'--- rank {rank}, exit code {codes[rank]}\n{path.read_text()}'
            for rank, path in enumerate(files)
        )
    expected = code if isinstance(code, list) else [code] * ranks
    assert codes == expected, output
    return output


def free_port():
    """A port nobody listens on; 0 would leave the workers without one."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def main():
    """One rank: join the group, call, leave the group."""
    name, args, folder, rank, ranks = sys.argv[1:]
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=int(rank),
        world_size=int(ranks),
        timeout=timedelta(seconds=60),
    )
    module, function = name.split(':')
    try:
        getattr(importlib.import_module(module), function)(*json.loads(args))
    finally:
        # Threads of gloo that still run when Python ends abort the process.
        dist.destroy_process_group()


if __name__ == '__main__':
    main()
