# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A copy of the tree, a wheel of it, and an environment that has only that."""

import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from ..common.processes import run, run_python
from ..small_run import ROOT

# Whatever a clone does not have: environments, results, caches, builds.
NOT_SOURCE = shutil.ignore_patterns(
    *('.*', 'build', 'dist', 'outputs', 'work_dirs', 'data'),
    *('*.egg-info', '__pycache__', '*.so'),
)
WHEEL = ('--no-build-isolation', '--no-deps', '--no-index', '-w')


def make_environment(folder):
    """A virtual environment that sees this one's packages, not our plugin.

    A path in a .pth file is searched after the environment's own packages,
    and .pth files in there (such as that of an editable install) do not count.
    """
    run_python('-m', 'venv', '--without-pip', folder)
    python = folder / 'bin' / 'python'
    code = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    purelib = Path(run(python, '-c', code).strip())
    outer = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
    (purelib / 'outer.pth').write_text('\n'.join(sorted(outer)))
    return SimpleNamespace(python=python, purelib=purelib)


def pip_install(env, *options):
    """Install into an environment with this one's pip, without a network."""
    pip = ('-m', 'pip', '--python', env.python)
    run_python(*pip, 'install', '--no-index', '--no-deps', *options)


@pytest.fixture(scope='session')
def source_tree(tmp_path_factory):
    """A copy of the sources: building leaves the checkout as it is."""
    folder = tmp_path_factory.mktemp('source') / 'tree'
    shutil.copytree(ROOT, folder, ignore=NOT_SOURCE, symlinks=True)
    return folder


@pytest.fixture(scope='session')
def wheel(source_tree, tmp_path_factory):
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp('wheel')
    run_python('-m', 'pip', 'wheel', *WHEEL, folder, source_tree)
    (found,) = folder.glob('mask_plugins-*.whl')
    return found


@pytest.fixture(scope='session')
def installed(wheel, tmp_path_factory):
    """An environment with the wheel."""
    env = make_environment(tmp_path_factory.mktemp('installed') / 'venv')
    pip_install(env, wheel)
    return env
