# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Each check on stated facts, and the whole doctor on this environment."""

import ast
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.common.processes import run_python

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'doctor.py'
doctor = SimpleNamespace(**runpy.run_path(str(TOOL)))
facts_module = sys.modules['_doctor_facts']

SOUND = {
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'mmcv-lite': '2.1.0',
    'mmengine': '0.10.7',
    'mmpretrain': '1.2.0',
    'openmim': '0.3.7',
    'setuptools': '80.10.2',
    'click': '8.2.1',
    'numpy': '2.3.5',
    'scikit-learn': '1.9.1',
    'mask-plugins': '0.1.0',
}
CPU = json.dumps(dict(cuda=None, available=False, names=[]))


def facts(drop=(), fails=None, answer=CPU, **changes):
    """Facts of a sound environment, changed (``mmcv_lite='2.0'``).

    Args:
        drop (tuple[str]): Distributions that are not installed.
        fails (str, optional): What every probe dies of. Defaults to None.
        answer (str): What every probe prints. Defaults to a machine without
            a GPU.
    """
    driver = changes.pop('driver', ('', ''))
    python = changes.pop('python', (3, 11, 7))
    versions = {k: v for k, v in SOUND.items() if k not in drop}
    versions.update({k.replace('_', '-'): v for k, v in changes.items()})
    found = (True, answer) if fails is None else (False, fails)
    return doctor.Facts(versions, lambda name: found, driver, python)


# What nvidia-smi and torch say on a GPU machine.
OLD, NEW = dict(driver=('525.1', '12.0')), dict(driver=('580.1', '13.0'))
SEEN, UNSEEN = (
    dict(answer=json.dumps(dict(cuda='13.0', available=yes, names=names)))
    for yes, names in ((True, ['H200']), (False, []))
)
BROKEN = '{"MODELS": "KeyError"}'
NO_PRETRAIN = dict(drop=['mmpretrain'])
FORK = dict(NO_PRETRAIN, onedl_mmpretrain='1.3.6')
NO_LITE = dict(drop=['mmcv-lite'])
ONLY_FORK = dict(FORK, drop=['mmcv-lite', 'mmengine', 'mmpretrain', 'openmim'])
NMS = dict(fails='RuntimeError: operator torchvision::nms does not')
NO_GL = dict(fails='ImportError: libGL.so.1: cannot open')
MIXED = dict(torch='2.11.0+cpu', torchvision='0.26.0+cu130')
NEW_MIM = dict(drop=['openmim'], onedl_mim='0.5.1', setuptools='84.0')
TWO_ENGINES = dict(onedl_mmengine='0.10.12')
UNINSTALL = 'uninstall -y mmengine onedl-mmengine'


@pytest.mark.parametrize(
    ('check', 'case', 'status', 'fix'),
    [
        ('python', {}, 'ok', ''),
        ('python', dict(python=(3, 8, 9)), 'fail', 'PYTHON=python3.11'),
        ('python', dict(python=(3, 9, 0)), 'ok', ''),
        ('python', dict(python=(3, 13, 9)), 'ok', ''),
        ('python', dict(python=(3, 14, 0)), 'warn', 'PYTHON=python3.11'),
        ('torch', {}, 'ok', ''),
        ('torch', dict(drop=['torch']), 'fail', 'install torch=='),
        ('torch', dict(torch='2.0.1'), 'fail', 'install torch=='),
        ('torch', dict(torch='2.5.0+cpu'), 'ok', ''),
        ('torch', dict(fails='OSError: libcudart'), 'fail', 'reinstall'),
        ('torchvision', {}, 'ok', ''),
        ('torchvision', dict(torchvision='0.26.1+cpu'), 'ok', ''),
        ('torchvision', dict(torch='1.13.1', torchvision='0.14.1'), 'ok', ''),
        ('torchvision', dict(torchvision='0.28.0'), 'fail', '0.26.*'),
        ('torchvision', dict(torch='2.1.2'), 'fail', '0.16.*'),
        ('torchvision', MIXED, 'fail', '0.26.*'),
        ('torchvision', dict(drop=['torchvision']), 'fail', '0.26.*'),
        ('torchvision', dict(drop=['torchvision', 'mmpretrain']), 'ok', ''),
        ('torchvision', NMS, 'fail', '0.26.*'),
        ('forks', {}, 'ok', ''),
        ('forks', dict(drop=['mmengine'], onedl_mmengine='0.10'), 'ok', ''),
        ('forks', TWO_ENGINES, 'fail', UNINSTALL),
        ('forks', dict(onedl_mim='0.5.1'), 'fail', 'onedl-mim'),
        ('forks', FORK, 'warn', 'install onedl-mim'),
        ('mmcv', {}, 'ok', ''),
        ('mmcv', dict(NO_LITE, mmcv='2.1.0'), 'ok', ''),
        ('mmcv', dict(NO_LITE, onedl_mmcv='2.3.6'), 'ok', ''),
        ('mmcv', dict(mmcv='2.1.0'), 'fail', 'uninstall -y mmcv mmcv-lite'),
        ('mmcv', NO_LITE, 'fail', 'install mmcv-lite=='),
        ('mmcv', ONLY_FORK, 'fail', 'install onedl-mmcv=='),
        ('mmengine', {}, 'ok', ''),
        ('mmengine', dict(mmengine='0.9.1'), 'fail', "'mmengine>=0.10,<1'"),
        ('mmengine', dict(drop=['mmengine']), 'fail', 'install mmengine=='),
        ('mmengine', ONLY_FORK, 'fail', 'install onedl-mmengine=='),
        ('mmcv', dict(mmcv_lite='1.7.1'), 'fail', '>=2.0.0,<2.4.0'),
        ('mmcv', dict(mmcv_lite='2.4.0'), 'fail', '>=2.0.0,<2.4.0'),
        ('mmcv', NO_GL, 'fail', 'opencv-python-headless'),
        ('openmim', {}, 'ok', ''),
        ('openmim', dict(openmim='0.3.9'), 'warn', 'openmim==0.3.7'),
        ('openmim', dict(drop=['openmim']), 'warn', 'openmim==0.3.7'),
        ('openmim', ONLY_FORK, 'warn', 'install onedl-mim=='),
        ('setuptools', {}, 'ok', ''),
        ('setuptools', dict(setuptools='81.0.0'), 'warn', "'setuptools<81'"),
        ('setuptools', dict(setuptools='84.0'), 'fail', "'setuptools<81'"),
        ('setuptools', dict(drop=['setuptools']), 'fail', "'setuptools<81'"),
        ('setuptools', NEW_MIM, 'ok', ''),
        ('click', {}, 'ok', ''),
        ('click', dict(click='8.3.0'), 'warn', "'click<8.3'"),
        ('numpy', {}, 'ok', ''),
        ('numpy', dict(numpy='2.4.0'), 'warn', "'numpy<2.4'"),
        ('numpy', dict(FORK, numpy='2.4.0'), 'ok', ''),
        ('mmpretrain', {}, 'ok', ''),
        ('mmpretrain', NO_PRETRAIN, 'warn', 'install mmpretrain=='),
        ('mmpretrain', dict(fails='ImportError: x'), 'fail', 'reinstall'),
        ('gpu', {}, 'ok', ''),
        ('gpu', {**NEW, **SEEN}, 'ok', ''),
        ('gpu', {**OLD, **UNSEEN}, 'fail', 'update the NVIDIA driver'),
        ('gpu', NEW, 'warn', 'CUDA 13.0'),
        ('gpu', {**NEW, **UNSEEN}, 'warn', 'CUDA_VISIBLE_DEVICES'),
        ('gpu', dict(fails='no torch'), 'fail', 'torch'),
        ('native', dict(answer='compiled kernels for avx2'), 'ok', ''),
        ('native', dict(answer='torch: switched off'), 'ok', ''),
        ('native', dict(answer='torch: x is not built'), 'warn', '-e .'),
        ('native', dict(fails='ImportError: x'), 'fail', 'above'),
        ('registries', dict(answer='{"HOOKS": 3}'), 'ok', ''),
        ('registries', dict(answer=BROKEN), 'fail', '-e .'),
        ('registries', dict(NO_PRETRAIN, answer=BROKEN), 'warn', 'mmpretrain'),
        ('registries', dict(fails='ImportError: x'), 'fail', 'above'),
        ('data', {}, 'ok', ''),
        ('data', dict(drop=['scikit-learn']), 'warn', 'scikit-learn'),
        ('plugin', dict(drop=['mask-plugins']), 'fail', 'install'),
    ],
)
def test_check(check, case, status, fix):
    row = getattr(doctor, f'check_{check}')(facts(**case))
    assert row.status == status, row
    assert fix in row.fix
    assert bool(row.fix) == (status != 'ok')


def test_allocator(monkeypatch):
    """Set, set in part, or not glibc's business."""
    check = facts_module.check_allocator
    keep = dict(MALLOC_MMAP_MAX_='7')
    given = facts()._replace(environ=keep)
    assert check(given).startswith('MALLOC_MMAP_MAX_=7; not set: `export M')
    whole = facts()._replace(environ={**facts_module.ALLOCATOR, **keep})
    assert 'not set' not in check(whole)
    assert 'MALLOC_TRIM_THRESHOLD_=-1' in check(whole)
    monkeypatch.setattr('platform.libc_ver', lambda: ('', ''))
    assert check(given) == 'not glibc, nothing to set'


def test_a_check_that_breaks_is_a_row():
    """Torch answering nonsense must not end the table."""
    rows = doctor.examine(facts(answer='no JSON'))
    assert len(rows) == len(doctor.CHECKS)
    broken = {row.name for row in rows if row.status == 'fail'}
    assert {'gpu', 'registries'} <= broken


def test_a_probe_that_dies_is_told_from_one_that_answers():
    assert facts_module.run_python('print(6 * 7)') == (True, '42')
    works, output = facts_module.run_python('import os; os.abort()')
    assert not works
    assert output
    works, output = facts_module.run_python('raise ValueError("why")')
    assert (works, output) == (False, 'ValueError: why')


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason='Python lists its modules from 3.10 on'
)
@pytest.mark.parametrize(
    'name', ['doctor.py', '_doctor_facts.py', '_doctor_openmmlab.py']
)
def test_only_the_standard_library_is_imported(name):
    names = set()
    for node in ast.walk(ast.parse(TOOL.with_name(name).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split('.')[0])
    own = {'_doctor_facts', '_doctor_openmmlab'}
    assert names <= {*sys.stdlib_module_names, *own}


def test_this_environment_is_sound(tmp_path):
    rows = json.loads(run_python(TOOL, '--json', cwd=tmp_path))
    assert all(set(r) == {'name', 'found', 'status', 'fix'} for r in rows)
    found = {row['name']: row for row in rows}
    assert len(found) == len(doctor.CHECKS)
    assert found['registries']['status'] == 'ok'
    assert found['torch/torchvision']['status'] == 'ok'


def test_the_table():
    fix = "pip install 'click<8.3'"
    rows = [
        doctor.Row('torch', '2.11.0'),
        doctor.Row('click/mim', 'click 8.3', 'warn', fix),
    ]
    _, header, first, second, shown = doctor.table(rows).splitlines()
    assert header.strip() == '-> what fixes it'
    assert first.split() == ['torch', 'ok', '2.11.0']
    assert second.split()[:2] == ['click/mim', 'warn']
    assert shown.strip() == f'-> {fix}'


def test_a_broken_environment_exits_with_1(tmp_path):
    """A torch that cannot be imported, in a real run of the tool."""
    (tmp_path / 'torch').mkdir()
    (tmp_path / 'torch' / '__init__.py').write_text('raise OSError("broken")')
    env = dict(PYTHONPATH=str(tmp_path), PATH='')
    said = run_python(TOOL, code=1, env=env, cwd=tmp_path)
    assert 'OSError: broken' in said
    assert 'to fix' in said.splitlines()[-1]


def test_probes_that_take_their_process_down(monkeypatch):
    """Each is then tried alone, so that the others still answer."""
    probes = {'torch': 'print(1)', 'mmcv': 'import os; os.abort()'}
    monkeypatch.setattr(facts_module, 'PROBES', probes)
    answers = facts_module.try_all.__wrapped__()
    assert answers['torch'] == (True, '1')
    assert not answers['mmcv'][0]
