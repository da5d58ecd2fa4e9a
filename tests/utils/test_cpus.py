# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The cores that a cgroup leaves, in both versions and in containers."""

import contextlib
import os
from pathlib import Path

import pytest

from mask_plugins.utils.cpus import available_cpus

from ..common.processes import run_python


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: range(8))


TOP = 'sys/fs/cgroup'
CASES = dict(
    none=({}, 8),
    no_limit=(
        {'proc/self/cgroup': '0::/job', f'{TOP}/job/cpu.max': 'max 100000'},
        8,
    ),
    version_2=(
        {'proc/self/cgroup': '0::/job', f'{TOP}/job/cpu.max': '300000 100000'},
        3,
    ),
    above=(
        {
            'proc/self/cgroup': '0::/slurm/job/step',
            f'{TOP}/slurm/job/step/cpu.max': 'max 100000',
            f'{TOP}/slurm/job/cpu.max': '150000 100000',
        },
        2,
    ),
    # Inside, the path is that of the node, and the mount is its own cgroup.
    container=(
        {
            'proc/self/cgroup': '0::/docker/abc',
            f'{TOP}/cpu.max': '400000 100000',
        },
        4,
    ),
    version_1=(
        {
            'proc/self/cgroup': '5:memory:/a\n3:cpu,cpuacct:/a\n0::/',
            f'{TOP}/cpu,cpuacct/a/cpu.cfs_quota_us': '50000',
            f'{TOP}/cpu,cpuacct/a/cpu.cfs_period_us': '100000',
        },
        1,
    ),
    version_1_no_limit=(
        {
            'proc/self/cgroup': '3:cpu:/a',
            f'{TOP}/cpu/a/cpu.cfs_quota_us': '-1',
            f'{TOP}/cpu/a/cpu.cfs_period_us': '100000',
        },
        8,
    ),
    damaged=({'proc/self/cgroup': '0::/', f'{TOP}/cpu.max': 'x'}, 8),
)


@pytest.mark.parametrize('case', CASES)
def test_limits(case, tmp_path):
    files, expected = CASES[case]
    assert available_cpus(write(tmp_path, files)) == expected


QUOTAS = {
    'cpu/{}/cpu.cfs_quota_us': '100000',  # version 1
    '{}/cpu.max': '100000 100000',
}
LOOK = """
import os, sys
from pathlib import Path
from mask_plugins.utils.cpus import available_cpus
Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()))
print(len(os.sched_getaffinity(0)), available_cpus())
"""


@pytest.mark.parametrize('name', QUOTAS)
def test_a_real_group_of_one_core(name):
    quota = Path('/', TOP, name.format(f'mask_plugins_{os.getpid()}'))
    folder = quota.parent
    if not Path(folder.parent, 'cgroup.procs').exists():
        pytest.skip('cgroups of this version are not mounted here')
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir()
            stack.callback(folder.rmdir)
            quota.write_text(QUOTAS[name])
        except OSError as error:
            pytest.skip(f'no such group can be made here: {error}')
        cores, found = map(int, run_python('-c', LOOK, folder).split())
    if cores == 1:
        pytest.skip('one core is all that there is')
    assert found == 1
