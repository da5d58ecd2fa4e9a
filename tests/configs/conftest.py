# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Fixtures of all tests of configs."""

import pytest
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')
