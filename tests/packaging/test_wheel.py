# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the wheel holds, and that installing it brings nothing else along."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from ..common.processes import run_python
from ..small_run import ROOT
from .conftest import NOT_SOURCE, WHEEL


def sources(folder):
    """Relative names of a folder's files, caches left out."""
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_the_wheel_holds_configs_and_tools(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        metadata = next(n for n in names if n.endswith('dist-info/METADATA'))
        metadata = file.read(metadata).decode()
        top_level = next(n for n in names if n.endswith('top_level.txt'))
        assert file.read(top_level).decode().split() == ['mask_plugins']
    wanted = sources('configs') | sources('tools') | sources('demo')
    wanted.add('model-index.yml')
    package, info = sorted({name.split('/')[0] for name in names}, key=len)
    mim = {
        folder: {n.partition('.mim/')[2] for n in names if n.startswith(root)}
        for folder in (package, info)
        for root in [f'{folder}/.mim/']
    }
    assert mim[package] == wanted
    # Where onedl-mim looks. Pictures are for reading only.
    pictures = {name for name in wanted if name.endswith('.png')}
    assert pictures
    assert mim[info] == wanted - pictures
    code, found = (
        {n for n in all_names if n.endswith('.py') and '/.mim/' not in n}
        for all_names in (sources('mask_plugins'), names)
    )
    assert found == code
    required = [
        line.split(': ')[1]
        for line in metadata.splitlines()
        if line.startswith('Requires-Dist') and 'extra' not in line
    ]
    packages = {line.split('>')[0].split('<')[0] for line in required}
    assert packages == {'torch', 'numpy'}
    assert 'License-File: LICENSE' in metadata


def kernels_of(wheel):
    with zipfile.ZipFile(wheel) as file:
        return {Path(n).name for n in file.namelist() if n.endswith('.so')}


def test_the_wheel_holds_the_kernels_for_any_python(wheel):
    found = kernels_of(wheel)
    with zipfile.ZipFile(wheel) as file:
        assert not any(n.endswith(('.cpp', '.h')) for n in file.namelist())
    if shutil.which('cc') is None:
        pytest.skip('no compiler')
    assert 'kernels_baseline.so' in found
    python, abi, system = wheel.stem.split('-')[-3:]
    assert (python, abi) == ('py3', 'none')
    assert system != 'any'


@pytest.mark.slow
def test_without_a_compiler(tmp_path):
    """One line per library, and a wheel for every system."""
    tree = shutil.copytree(ROOT, tmp_path / 'tree', ignore=NOT_SOURCE)
    env = dict(os.environ, CC='/no/cc', CXX='/no/c++')
    pip = ('-m', 'pip', '-v', 'wheel', *WHEEL, tmp_path, tree)
    output = run_python(*pip, env=env)
    assert 'no mask_plugins.native.kernels_baseline, torch serves' in output
    (found,) = tmp_path.glob('mask_plugins-*-py3-none-any.whl')
    with zipfile.ZipFile(found) as file:
        names = file.namelist()
        assert not any(name.endswith('.so') for name in names)
    code = 'from mask_plugins import native; print(native.status())'
    output = run_python('-c', code, cwd=tree)
    assert output.startswith('torch: no compiled kernels')


@pytest.mark.slow
def test_a_compiler_that_refuses_a_flag(source_tree, wheel, tmp_path):
    """It leaves out one library and makes the others."""
    refused = 'kernels_avx512bf16.so'
    if refused not in kernels_of(wheel):
        pytest.skip('no compiler, or no such CPU')
    compiler = tmp_path / 'compiler'
    compiler.write_text(
        '#!/bin/sh\ncase " $* " in *" -mavx512bf16 "*) exit 1;; esac\n'
        'exec c++ "$@"\n'
    )
    compiler.chmod(0o755)
    env = dict(os.environ, CC=str(compiler), CXX=str(compiler))
    folders = ('--build-lib', tmp_path, '--build-temp', tmp_path / 'objects')
    run_python('setup.py', 'build_ext', *folders, cwd=source_tree, env=env)
    found = {path.name for path in tmp_path.rglob('*.so')}
    assert found == kernels_of(wheel) - {refused}


def test_the_source_package_builds_the_same_wheel(
    source_tree, wheel, tmp_path
):
    """Through the sdist, which is what an index would hold."""
    options = ('-q', 'sdist', '-d', tmp_path)
    run_python('setup.py', *options, cwd=source_tree)
    (archive,) = tmp_path.glob('*.tar.gz')
    run_python('-m', 'pip', 'wheel', *WHEEL, tmp_path, archive)
    (again,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as two:
        assert set(one.namelist()) == set(two.namelist())


ONEDL = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
    'onedl-mim': '0.5.1',
}
UPSTREAM = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}


def fake_distributions(folder, versions):
    """Distributions of which pip sees the metadata, and which have no file."""
    for name, version in versions.items():
        info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        )
        (info / 'RECORD').write_text('')
        (info / 'INSTALLER').write_text('pip')


@pytest.mark.parametrize('stack', [ONEDL, UPSTREAM])
def test_installing_it_brings_nothing_along(wheel, tmp_path, stack):
    """Not mmengine next to onedl-mmengine, and not mmcv-lite next to mmcv."""
    run_python('-m', 'venv', '--without-pip', tmp_path / 'env')
    python = tmp_path / 'env' / 'bin' / 'python'
    (purelib,) = tmp_path.glob('env/lib/python*/site-packages')
    versions = dict(stack, torch='2.1.2', numpy='1.26.4')
    fake_distributions(purelib, versions)
    report = tmp_path / 'report.json'
    run_python(
        *('-m', 'pip', '--python', python, 'install', '--dry-run'),
        *('--no-index', '--report', report, wheel),
    )
    installed = json.loads(report.read_text())['install']
    names = [i['metadata']['name'].replace('-', '_') for i in installed]
    assert names == ['mask_plugins']
    # What is missing would have been fetched, which --no-index refuses.
    (purelib / 'numpy-1.26.4.dist-info' / 'METADATA').unlink()
    output = run_python(
        *('-m', 'pip', '--python', python, 'install', '--dry-run'),
        *('--no-index', wheel), code=1,
    )  # fmt: skip
    assert 'numpy' in output


def test_extras_of_both_stacks(wheel):
    """Each names its own distributions, and none that needs a compiler."""
    with zipfile.ZipFile(wheel) as file:
        metadata = next(n for n in file.namelist() if n.endswith('/METADATA'))
        lines = file.read(metadata).decode().splitlines()
    extras = {}
    for line in lines:
        if line.startswith('Requires-Dist') and 'extra ==' in line:
            need, _, extra = line.split(': ')[1].partition(';')
            extra = (
                extra.split('"')[1] if '"' in extra else extra.split("'")[1]
            )
            name = re.split('[^a-z0-9-]', need.strip())[0]
            extras.setdefault(extra, set()).add(name)
    projects = {'mmengine', 'mmcv-lite', 'mmpretrain', 'numpy', 'setuptools'}
    assert extras['mim'] == projects
    assert extras['openmmlab'] == projects | {'openmim', 'click'}
    assert extras['onedl'] == set(ONEDL)
