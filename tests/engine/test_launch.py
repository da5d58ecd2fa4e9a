# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a launcher says becomes torch's variables, and the wrapper's options.

Whole runs of several processes are in tests/tools/test_train.py.
"""

import pytest
import torch
from mmengine.config import Config

from mask_plugins.engine.launching.launch import (
    first_slurm_host,
    launch_environment,
    prepare_launch,
    slurm_port,
    use_cpu_wrapper,
)

SLURM = {
    'SLURM_PROCID': '3',
    'SLURM_NTASKS': '4',
    'SLURM_LOCALID': '1',
    'SLURM_NODELIST': 'gpu[03-05,9],big1',
    'SLURM_NNODES': '2',
    'SLURM_JOB_ID': '1234567',
}


@pytest.mark.parametrize(
    ('nodelist', 'host'),
    [
        ('node7', 'node7'),
        ('node7,node8', 'node7'),
        ('gpu[03-05,9],big1', 'gpu03'),
        ('rack[2-3]n[11,12]-ib,x', 'rack2n11-ib'),
    ],
)
def test_first_slurm_host(nodelist, host):
    assert first_slurm_host(nodelist) == host


def test_an_empty_node_list_is_refused():
    with pytest.raises(ValueError, match="names no host: ''"):
        first_slurm_host('')


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, dict(MASTER_ADDR='gpu03', MASTER_PORT='24567')),
        # A single node needs no name.
        (dict(SLURM_NNODES='1'), dict(MASTER_ADDR='127.0.0.1')),
        # The step counts where it is smaller than the job.
        (
            dict(SLURM_STEP_NODELIST='big1', SLURM_STEP_NUM_NODES='2'),
            dict(MASTER_ADDR='big1'),
        ),
        # Mim draws a port and exports it.
        (
            dict(MASTER_ADDR='10.0.0.1', MASTER_PORT='20001'),
            dict(MASTER_ADDR='10.0.0.1', MASTER_PORT='20001'),
        ),
    ],
)
def test_slurm_environment(given, expected):
    found = launch_environment('slurm', {**SLURM, **given})
    assert {key: found[key] for key in expected} == expected
    ranks = dict(RANK='3', WORLD_SIZE='4', LOCAL_RANK='1')
    assert {key: found[key] for key in ranks} == ranks


def test_jobs_and_steps_differ_in_their_port():
    ports = {
        slurm_port(dict(SLURM_JOB_ID=str(job), SLURM_STEP_ID=step))
        for job in range(100, 110)
        for step in ('0', '1', 'batch')
    }
    # 'batch' is not a number and counts as the first step.
    assert len(ports) == 20
    assert all(20000 <= int(port) < 30000 for port in ports)


def test_mpi_environment():
    environ = dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2')
    found = launch_environment('mpi', environ)
    assert (found['RANK'], found['WORLD_SIZE']) == ('1', '2')


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_a_launcher_that_did_not_start_us(launcher, monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'SLURM_PROCID', 'SLURM_NTASKS'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match='not started by it. Start it with'):
        prepare_launch(Config(), launcher)


def test_an_unknown_launcher():
    with pytest.raises(ValueError, match="got 'pbs'"):
        prepare_launch(Config(), 'pbs')


def test_torchrun_without_a_launcher(monkeypatch):
    """Two processes would write into one folder."""
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'x')
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(RuntimeError, match='Add --launcher pytorch'):
        prepare_launch(Config(), 'none')


def test_cpu_wrapper():
    """Its default, and that it keeps what the config says."""
    cfg = Config(dict(find_unused_parameters=True))
    use_cpu_wrapper(cfg)
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=True,
    )
    given = dict(broadcast_buffers=True)
    cfg = Config(dict(model_wrapper_cfg=given))
    use_cpu_wrapper(cfg)
    assert cfg.model_wrapper_cfg == dict(given, device_ids=None)


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without')
def test_a_group_of_one_without_a_gpu(monkeypatch):
    for name in ('RANK', 'LOCAL_RANK', 'MASTER_PORT'):
        monkeypatch.setenv(name, '0')
    monkeypatch.setenv('WORLD_SIZE', '1')
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=60))))
    try:
        prepare_launch(cfg, 'pytorch')
        assert torch.distributed.get_backend() == 'gloo'
        assert cfg.env_cfg.dist_cfg.backend == 'gloo'
        assert cfg.model_wrapper_cfg.device_ids is None
    finally:
        torch.distributed.destroy_process_group()
