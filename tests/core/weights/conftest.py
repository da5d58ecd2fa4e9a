# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tests of what has a compiled kernel run with it and without."""

import pytest

from mask_plugins import native


@pytest.fixture(params=['compiled', 'torch'])
def kernels(request, monkeypatch):
    """With compiled kernels, where they are built, and without."""
    if request.param == 'torch':
        monkeypatch.setenv(native.SWITCH, '0')
    elif native.library() is None:
        pytest.skip(native.status())
