# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A copy of the tree, a wheel of it, and an environment that has only that."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Whatever a clone does not have: environments, results, caches, builds.
NOT_SOURCE = (
    '.*',
    'build',
    'dist',
    'outputs',
    'work_dirs',
    'data',
    '*.egg-info',
    '__pycache__',
)


def run(*command, cwd=None):
    """Run a command; its output, or a failed test that shows it."""
    # Only what is installed may be found, not what is around.
    environ = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    environ.update(OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f'{command}\n{done.stdout}'
    return done.stdout


def make_environment(folder):
    """A virtual environment that sees this one's packages, not our plugin.

    A path in a .pth file is searched after the environment's own packages,
    and .pth files in there (such as that of an editable install) do not count.
    """
    run(sys.executable, '-m', 'venv', '--without-pip', folder)
    python = folder / 'bin' / 'python'
    code = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    purelib = Path(run(python, '-c', code).strip())
    outer = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
    (purelib / 'outer.pth').write_text('\n'.join(sorted(outer)))
    return SimpleNamespace(python=python, purelib=purelib, run=run)


def pip_install(env, *options):
    """Install into an environment with this one's pip, without a network."""
    pip = (sys.executable, '-m', 'pip', '--python', env.python)
    run(*pip, 'install', '--no-index', '--no-deps', *options)


@pytest.fixture(scope='session')
def source_tree(tmp_path_factory):
    """A copy of the sources: building leaves the checkout as it is."""
    folder = tmp_path_factory.mktemp('source') / 'tree'
    ignore = shutil.ignore_patterns(*NOT_SOURCE)
    shutil.copytree(ROOT, folder, ignore=ignore, symlinks=True)
    return folder


@pytest.fixture(scope='session')
def wheel(source_tree, tmp_path_factory):
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp('wheel')
    options = ('--no-build-isolation', '--no-deps', '--no-index')
    run(
        sys.executable, '-m', 'pip', 'wheel', *options, '-w', folder,
        source_tree,
    )  # fmt: skip
    (found,) = folder.glob('mask_plugins-*.whl')
    return found


@pytest.fixture(scope='session')
def installed(wheel, tmp_path_factory):
    """An environment with the wheel."""
    env = make_environment(tmp_path_factory.mktemp('installed') / 'venv')
    pip_install(env, wheel)
    return env
