# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Start distributed runs, on machines without a GPU too.

mmengine's launchers call ``torch.cuda.set_device`` and give DDP a device id,
so they stop where there is no GPU. A process group that exists already is left
alone by the runner: it is enough to make one with gloo first.
"""

import atexit
import datetime
import os
import re
from typing import Dict, Mapping

import torch.distributed as dist
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import MODEL_WRAPPERS, DefaultScope
from torch.nn.parallel import DistributedDataParallel

from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.compat_torch import leave_process_group

# Where each launcher says rank, world size and local rank; how to start it.
LAUNCHERS = {
    'pytorch': ('RANK WORLD_SIZE LOCAL_RANK', 'torchrun --nproc_per_node N'),
    'slurm': (
        'SLURM_PROCID SLURM_NTASKS SLURM_LOCALID',
        'srun --ntasks N python',
    ),
    'mpi': (
        'OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_RANK',
        'mpirun -n N python',
    ),
}


def first_slurm_host(nodelist: str) -> str:
    """Name the first host of a SLURM node list.

    Args:
        nodelist (str): As in ``SLURM_NODELIST``: ``'gpu[03-05,9],big1'``.

    Examples:
        >>> first_slurm_host('gpu[03-05,9],big1')
        'gpu03'
    """
    first = re.match(r'(?:[^,\[]|\[[^\]]*\])+', nodelist)
    if first is None:
        raise ValueError(f'SLURM_NODELIST names no host: {nodelist!r}')
    return re.sub(r'\[(\d+)[^\]]*\]', r'\1', first.group())


def slurm_port(environ: Mapping[str, str]) -> str:
    """Derive a port that every task of a SLURM step agrees on.

    It differs between the jobs of an array and between steps of one job, which
    may share a node; 20000 to 29999 lies below Linux' ephemeral ports.

    Examples:
        >>> slurm_port(dict(SLURM_JOB_ID='1234567'))
        '24567'
    """
    job = int(environ.get('SLURM_JOB_ID', 0))
    step = environ.get('SLURM_STEP_ID', '0')
    step = int(step) if step.isdigit() else 0
    return str(20000 + (job + 1009 * step) % 10000)


def launch_environment(
    launcher: str, environ: Mapping[str, str]
) -> Dict[str, str]:
    """Translate what a launcher says into torch's own variables.

    Args:
        launcher (str): 'pytorch', 'slurm' or 'mpi'.
        environ (Mapping): The environment of this process.

    Returns:
        dict: ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and
        ``MASTER_PORT``. Address and port that are set already are kept.

    Raises:
        ValueError: If the launcher is unknown.
        RuntimeError: If the process was not started by this launcher.

    Examples:
        >>> environ = dict(RANK='1', WORLD_SIZE='2')
        >>> found = launch_environment('pytorch', environ)
        >>> found['RANK'], found['LOCAL_RANK'], found['MASTER_ADDR']
        ('1', '0', '127.0.0.1')
    """
    check_choice('launcher', launcher, ('none', *LAUNCHERS))
    names, start = LAUNCHERS[launcher]
    rank, world_size, local_rank = names.split()
    missing = [name for name in (rank, world_size) if name not in environ]
    if missing:
        raise RuntimeError(
            f'launcher={launcher!r}, but the environment has no '
            f'{" and no ".join(missing)}: not started by it. Start it with '
            f'`{start} tools/train.py CONFIG --launcher {launcher}`.'
        )
    address, port = '127.0.0.1', '29500'
    if launcher == 'slurm':
        port, get = slurm_port(environ), environ.get
        count = get('SLURM_STEP_NUM_NODES') or get('SLURM_NNODES')
        nodes = get('SLURM_STEP_NODELIST') or get('SLURM_NODELIST')
        # One node needs no name resolution: loopback always works.
        if count != '1' and nodes is not None:
            address = first_slurm_host(nodes)
    return {
        'RANK': environ[rank],
        'WORLD_SIZE': environ[world_size],
        'LOCAL_RANK': environ.get(local_rank, '0'),
        'MASTER_ADDR': environ.get('MASTER_ADDR', address),
        'MASTER_PORT': environ.get('MASTER_PORT', port),
    }


def use_cpu_wrapper(cfg: Config) -> None:
    """Make the runner wrap the model in DDP without a device id.

    mmengine fills ``device_ids`` in wherever it is missing, for a wrapper the
    config chose as well; a wrapper that is not DDP is left alone.

    Examples:
        >>> cfg = Config()
        >>> use_cpu_wrapper(cfg)
        >>> cfg.model_wrapper_cfg.type
        'MMDistributedDataParallel'
    """
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    wrapper = cfg.model_wrapper_cfg
    name = wrapper.get('type', 'MMDistributedDataParallel')
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope):
        kind = MODEL_WRAPPERS.get(name)
    if kind and issubclass(kind, DistributedDataParallel):
        wrapper.setdefault('device_ids', None)


def prepare_launch(cfg: Config, launcher: str) -> None:
    """Set a config up for its launcher and, without a GPU, start gloo.

    With a GPU the rest is mmengine's; only the port of a SLURM run is chosen
    here, because mmengine's constant one collides on shared nodes.

    Args:
        cfg (Config): The whole config. Changed in place.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: If the launcher is unknown.
        RuntimeError: If the process was not started by this launcher.

    Examples:
        >>> cfg = Config()
        >>> prepare_launch(cfg, 'none')
        >>> cfg.launcher
        'none'
    """
    cfg.launcher = launcher
    if launcher == 'none':
        several = int(os.environ.get('WORLD_SIZE', 1)) > 1
        if several and 'TORCHELASTIC_RUN_ID' in os.environ:
            raise RuntimeError('started by torchrun: Add --launcher pytorch.')
        return
    found = launch_environment(launcher, os.environ)
    if get_device() != 'cpu':
        if launcher == 'slurm':
            os.environ['MASTER_PORT'] = found['MASTER_PORT']
        return

    os.environ.update(found)
    env_cfg = cfg.setdefault('env_cfg', ConfigDict())
    dist_cfg = env_cfg.setdefault('dist_cfg', ConfigDict())
    dist_cfg.backend = 'gloo'
    use_cpu_wrapper(cfg)
    options = {}
    if dist_cfg.get('timeout') is not None:
        options['timeout'] = datetime.timedelta(seconds=dist_cfg.timeout)
    if not dist.is_initialized():
        dist.init_process_group(backend='gloo', **options)
        # Threads of gloo that still run when Python ends abort the process.
        atexit.register(leave_process_group)


def name_cause(error: RuntimeError) -> None:
    """Raise a clearer error where another process is the cause of one.

    Args:
        error (RuntimeError): What training ended with.

    Raises:
        RuntimeError: If it says that the connection to a process was lost.

    Examples:
        >>> name_cause(RuntimeError('shapes differ'))
        >>> name_cause(RuntimeError('gloo: timed out'))
        Traceback (most recent call last):
        ...
        RuntimeError: another process of this run has ended or hangs, see its \
output: gloo: timed out
    """
    if re.search(r'gloo|nccl|Connection (closed|reset)', str(error), re.I):
        what = 'another process of this run has ended or hangs'
        raise RuntimeError(f'{what}, see its output: {error}') from error
