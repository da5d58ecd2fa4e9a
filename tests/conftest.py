# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Fixtures for any test, and skips for what a machine cannot run."""

import importlib.util
import os
import time
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.slurm.cluster import why_not

ROOT = Path(__file__).resolve().parents[1]
BEGIN = time.monotonic()


@pytest.fixture(autouse=True)
def _fresh_default_scope():
    """Undo the default scope that a Runner or mmpretrain's API has set."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='session')
def repo_root():
    """The top of the repository."""
    return ROOT


def pytest_collection_modifyitems(items):
    """Skip, with the reason, what needs something this machine lacks."""
    # The longest file first, so that no process ends long after the others.
    items.sort(key=lambda item: 'test_stream_tools' not in item.nodeid)
    missing = {}
    if not torch.cuda.is_available():
        missing['gpu'] = 'no GPU'
    if not any(map(importlib.util.find_spec, ('mmdet', 'mmseg'))):
        missing['mmdet'] = 'neither mmdet nor mmseg is installed'
    if any(item.get_closest_marker('slurm') for item in items):
        reason = why_not()
        if reason:
            missing['slurm'] = reason
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item):
    """Begin no further test once the time budget (seconds) is used up."""
    budget = float(os.environ.get('MASK_PLUGINS_TEST_BUDGET') or 'inf')
    if time.monotonic() - BEGIN > budget:
        pytest.skip(f'the time budget of {budget:.0f} s is used up')
