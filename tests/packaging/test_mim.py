# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Mim finds configs and tools in the wheel and in an editable checkout.

Of openmim and of onedl-mim, whichever this environment has. Neither has
weights to download: no config of ours states any.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ..common.processes import run
from ..small_run import NAME, ROOT, SMALL, SMALL_TEST
from .conftest import make_environment, pip_install

pytestmark = [pytest.mark.mim, pytest.mark.slow]
PLUGIN = 'mask_plugins'
CONFIG_ID = NAME.removesuffix('.py')


def has_onedl_mim():
    """Whether the command mim is that of OneDL."""
    return any(
        dist.metadata['Name'] == 'onedl-mim'
        for dist in metadata.distributions()
    )


@pytest.fixture
def mim(installed, tmp_path):
    """Run a command of mim, with nothing of the checkout in sight."""

    def call(*command):
        return run(installed.python, '-m', 'mim', *command, cwd=tmp_path)

    return call


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
        options = ('--cfg-options', *SMALL)
        output = mim('train', PLUGIN, name, *run_dir, *options)
        if not by_base:
            # In the package, or in its metadata (onedl-mim).
            (root,) = installed.purelib.glob(
                'mask_plugins-*' if has_onedl_mim() else 'mask_plugins'
            )
            assert str(root / '.mim' / 'configs' / 'pss' / NAME) in output
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
        assert 'mask-plugins' in mim('list').replace('_', '-')

    def test_search(self, mim):
        """The metafiles, by name and by a value in them."""
        output = mim('search', PLUGIN, '--config', CONFIG_ID)
        assert f'config id: {CONFIG_ID}' in output
        assert 'configs/pss/pss_vit-tiny' in output  # cut to the screen
        output = mim('search', PLUGIN, '--condition', 'epochs>29')
        assert CONFIG_ID in output
        assert 'dense_resnet20_1xb64-8e' not in output

    def test_download(self, installed, tmp_path):
        """An error that names what is missing: no weights are published."""
        output = run(
            installed.python, '-m', 'mim', 'download', PLUGIN,
            '--config', CONFIG_ID, '--dest', 'weights', code=1, cwd=tmp_path,
        )  # fmt: skip
        assert 'weight' in output.splitlines()[-1]

    def test_install(self, wheel, tmp_path):
        """Mim hands a wheel to pip, with what mim adds for mmcv."""
        env = make_environment(tmp_path / 'venv')
        run(
            env.python, '-m', 'mim', 'install', '--no-deps', '--no-index',
            '--prefix', tmp_path / 'venv', wheel, cwd=tmp_path,
        )  # fmt: skip
        assert (env.purelib / PLUGIN / '.mim' / 'configs').is_dir()

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


@pytest.fixture
def editable(source_tree, tmp_path):
    """An environment with an editable install of the sources."""
    env = make_environment(tmp_path / 'venv')
    pip_install(env, '--no-build-isolation', '-e', source_tree)
    return env


@pytest.mark.skipif(
    has_onedl_mim(),
    reason='onedl-mim finds each config of an editable install twice',
)
def test_an_editable_install(editable, source_tree, tmp_path):
    """Mim finds the checkout, and sees an edit of a config at once."""
    assert (source_tree / 'mask_plugins' / '.mim' / 'configs').is_symlink()
    added = source_tree / 'configs' / 'added_after_the_install.py'
    added.write_text(f"_base_ = ['pss/{NAME}']")
    try:
        output = run(
            editable.python, '-m', 'mim', 'train', PLUGIN, added.name,
            '--work-dir', 'run', '--cfg-options', *SMALL, cwd=tmp_path,
        )  # fmt: skip
    finally:
        added.unlink()
    assert str(added) in output
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


@pytest.mark.parametrize('by_tool', [True, False])
def test_an_editable_install_of_either_mim(
    editable, source_tree, tmp_path, by_tool
):
    """By the name of the tool and config, or by the path of the config."""
    name = ('run', PLUGIN, 'train', NAME)
    path = source_tree / 'configs' / 'pss' / NAME
    run(
        editable.python, '-m', 'mim',
        *(name if by_tool else ('train', PLUGIN, path)),
        '--work-dir', 'run', '--cfg-options', *SMALL, cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()
