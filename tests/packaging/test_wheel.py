# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the wheel holds, and that mim trains from it by a config's basename."""

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from ..common.processes import run, run_python
from ..small_run import NAME, ROOT, SMALL, SMALL_TEST
from .conftest import NOT_SOURCE, WHEEL, make_environment, pip_install

PLUGIN = 'mask_plugins'


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
    mim = {n[len('mask_plugins/.mim/') :] for n in names if '/.mim/' in n}
    wanted = sources('configs') | sources('tools') | sources('demo')
    assert mim == wanted | {'model-index.yml'}
    folders = {name.split('/')[0] for name in names}
    assert len(folders) == 2, folders
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
    assert packages == {'torch', 'numpy', 'mmengine'}
    assert 'License-File: LICENSE' in metadata


def test_the_wheel_holds_the_kernels_for_any_python(wheel):
    with zipfile.ZipFile(wheel) as file:
        found = {Path(n).name for n in file.namelist() if n.endswith('.so')}
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


@pytest.fixture
def mim(installed, tmp_path):
    """Run a command of mim, with nothing of the checkout in sight."""

    def call(*command):
        return run(installed.python, '-m', 'mim', *command, cwd=tmp_path)

    return call


@pytest.mark.slow
class TestInstalledWheel:
    def test_it_is_the_wheel_that_is_imported(self, installed, tmp_path):
        code = 'import mask_plugins; print(mask_plugins.__file__)'
        found = run(installed.python, '-c', code, cwd=tmp_path)
        assert Path(found.strip()).parents[1] == installed.purelib
        assert ROOT not in Path(found.strip()).parents

    @pytest.mark.parametrize('by_base', [False, True])
    def test_train_and_test(self, installed, mim, tmp_path, by_base):
        """A config by its basename, and one that inherits it by name."""
        name = NAME
        if by_base:
            name = 'mine.py'
            base = f"_base_ = ['mask_plugins::pss/{NAME}']"
            (tmp_path / name).write_text(base)
        run_dir = ('--work-dir', 'run')
        output = mim('train', PLUGIN, name, *run_dir, '--cfg-options', *SMALL)
        if not by_base:
            config = installed.purelib / 'mask_plugins/.mim/configs/pss'
            assert str(config / NAME) in output
        assert str(ROOT) not in output.replace(sys.prefix, '')
        log = (tmp_path / 'run' / 'train_log.json').read_text().splitlines()
        assert len(log) == 2
        mim(
            'test', PLUGIN, name, '--checkpoint', 'run/epoch_1.pth', *run_dir,
            '--out', 'metrics.json', '--out-item', 'metrics',
            '--cfg-options', *SMALL_TEST,
        )  # fmt: skip
        metrics = json.loads((tmp_path / 'metrics.json').read_text())
        assert 0 <= metrics['accuracy/top1'] <= 100

    def test_a_sweep_by_its_name(self, mim, tmp_path):
        options = ('pss_digits_start-schedule.yaml', '--out', 'sweep')
        assert '8 runs' in mim('run', PLUGIN, 'sweep', 'plan', *options)
        assert (tmp_path / 'sweep' / 'manifest.json').is_file()

    def test_run_doctor(self, installed, mim):
        output = mim('run', PLUGIN, 'doctor')
        assert str(installed.purelib / 'mask_plugins') in output
        assert 'doctor: 0 to fix' in output

    def test_list(self, mim):
        assert 'mask-plugins' in mim('list')

    def test_gridsearch(self, mim, tmp_path):
        mim(
            'gridsearch', PLUGIN, NAME, '--work-dir', 'grid', '--search-args',
            '--optim_wrapper.optimizer.lr 0.001 0.002',
            '--cfg-options', *SMALL,
        )  # fmt: skip
        for value in ('0.001', '0.002'):
            (folder,) = tmp_path.glob(f'grid_search_*lr_{value}')
            log = (folder / 'train_log.json').read_text().splitlines()
            assert len(log) == 2


@pytest.mark.slow
def test_an_editable_install(source_tree, tmp_path):
    """Mim finds the checkout, and sees an edit of a config at once."""
    env = make_environment(tmp_path / 'venv')
    pip_install(env, '--no-build-isolation', '-e', source_tree)
    assert (source_tree / 'mask_plugins' / '.mim' / 'configs').is_symlink()
    added = source_tree / 'configs' / 'added_after_the_install.py'
    added.write_text(f"_base_ = ['pss/{NAME}']")
    try:
        output = run(
            env.python, '-m', 'mim', 'train', 'mask_plugins', added.name,
            '--work-dir', 'run', '--cfg-options', *SMALL, cwd=tmp_path,
        )  # fmt: skip
    finally:
        added.unlink()
    assert str(added) in output
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()
