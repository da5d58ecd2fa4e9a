# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""All of PASS with the compiled kernels, and without."""

import pytest

from mask_plugins import native


@pytest.fixture(
    autouse=True,
    scope='module',
    params=['kernels', pytest.param('torch', marks=pytest.mark.slow)],
)
def path(request):
    """What computes patches; the tests of tiles run both ways by default."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == 'torch':
            patch.setenv(native.SWITCH, '0')
        yield request.param
