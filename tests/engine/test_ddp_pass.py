# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pre-training of gates in two processes."""

import re

import pytest

from tests.engine.processes import launch


@pytest.mark.ddp
@pytest.mark.slow
def test_both_ranks_learn_the_same_gates(tmp_path):
    codes, output = launch('ddp_pass.py', tmp_path)
    assert codes == [0, 0], output[-3000:]
    first, second = re.findall(r'gates (\w+)', output)
    assert first == second
