# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whatever starts a training sets the allocator, unless the user has."""

import os
import subprocess

import pytest

from mask_plugins.sweeps.local_runner import ALLOCATOR, run_environment
from tests.common.processes import ROOT
from tests.tools.test_doctor import facts_module

SCRIPTS = [
    'quickstart.sh',
    *sorted(
        f'slurm/{path.name}' for path in ROOT.glob('tools/slurm/*.sbatch')
    ),
]
# One that is set, and one that is set to nothing.
USER = dict(MALLOC_TRIM_THRESHOLD_='5', MALLOC_TOP_PAD_='')


@pytest.mark.parametrize('name', SCRIPTS)
@pytest.mark.parametrize('user', [{}, USER])
def test_scripts(name, user):
    lines = (ROOT / 'tools' / name).read_text().splitlines()
    lines = [line for line in lines if line.startswith('export MALLOC')]
    env = {k: v for k, v in os.environ.items() if k not in ALLOCATOR}
    done = subprocess.run(
        ['bash', '-c', '\n'.join([*lines, 'env'])],
        env={**env, **user},
        capture_output=True,
        text=True,
        check=True,
    )
    printed = set(done.stdout.splitlines())
    assert {f'{k}={v}' for k, v in {**ALLOCATOR, **user}.items()} <= printed


@pytest.mark.parametrize('user', [{}, USER])
def test_local_runs(monkeypatch, user):
    for name in ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    for name, value in user.items():
        monkeypatch.setenv(name, value)
    env = run_environment(0, jobs=1, processes=1)
    assert {name: env[name] for name in ALLOCATOR} == {**ALLOCATOR, **user}


def test_the_doctor_looks_for_the_same():
    assert facts_module.ALLOCATOR == ALLOCATOR
