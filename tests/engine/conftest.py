# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Runs that several test files compare with."""

import gc
import shutil

import pytest

from mask_plugins.engine.hooks import SeedHook

from ..common.processes import unformatted_configs
from .resume_runs import ITERATIONS, run
from .toys import build_runner


@pytest.fixture(scope='package', autouse=True)
def configs_as_they_are():
    """Without formatting."""
    gc.freeze()  # mmengine's datasets collect garbage
    with unformatted_configs():
        yield


@pytest.fixture(scope='session')
def reference(tmp_path_factory):
    """The work_dir of an uninterrupted run without workers."""
    work_dir = tmp_path_factory.mktemp('reference') / 'run'
    run(work_dir)
    return work_dir


@pytest.fixture(scope='session')
def iter_reference(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('iter_reference') / 'run'
    run(work_dir, **ITERATIONS)
    return work_dir


@pytest.fixture(scope='session')
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp('started') / 'run'
    build_runner(folder, [SeedHook()]).train()
    return folder


@pytest.fixture
def work_dir(started, tmp_path):
    """A copy of the work_dir of a toy's run of two epochs, to resume."""
    work_dir = shutil.copytree(started, tmp_path / 'run')
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth'))
    return work_dir
