# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every method, on one process and on two, through tools/train.py."""

import json
import time

import pytest

from ..common.methods import METHODS, metrics_of, run_tool, write_config
from .test_resume import assert_same_run

# After the checkpoint of the second epoch, in an uneven epoch of 5 or 3
# iterations; of 4 or 2 where the last batch is dropped.
DEATH = {1: 12, 2: 8}
DEATH_OF_PASS = {1: 10, 2: 5}
TWO = pytest.param(2, marks=[pytest.mark.ddp, pytest.mark.slow])
# One with tokens and one with a teacher; the rest takes a minute more.
FAST = ('pss', 'masked-feature-ema')
CASES = [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
    for name in METHODS
]


def train(folder, method, ranks, *args, **end):
    hooks = [dict(type='mask_plugins.EndHook', **end)] if end else []
    config = write_config(method, folder.parent / f'{folder.name}.py', hooks)
    args = (config, '--work-dir', folder, *args)
    return run_tool(folder, 'train.py', *args, ranks=ranks)


@pytest.mark.parametrize('ranks', [1, TWO])
@pytest.mark.parametrize('method', CASES)
def test_resumed_is_uninterrupted(tmp_path, method, ranks):
    """Also: equal ranks, and the validation of the model that is saved."""
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    codes, output = train(whole, method, ranks)
    assert codes == [0] * ranks, output
    death = (DEATH_OF_PASS if method == 'pass' else DEATH)[ranks]
    codes, output = train(killed, method, ranks, iteration=death)
    assert 0 not in codes, output
    codes, output = train(killed, method, ranks, '--resume')
    assert codes == [0] * ranks, output
    assert 'resumed epoch' in output[0]
    assert_same_run(killed, whole)
    if method == 'pass' or ranks == 1:
        return
    checkpoint = (whole / 'last_checkpoint').read_text()
    found = metrics_of(checkpoint, tmp_path / 'whole.py', tmp_path / 'test')
    line = json.loads((whole / 'val_log.json').read_text().splitlines()[-1])
    for key in set(found) & set(line):
        # Another size of the batches is another order of sums.
        assert found[key] == pytest.approx(line[key], rel=1e-5), key
    assert set(found) & set(line)


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_a_dead_rank_ends_the_other(tmp_path, method):
    begin = time.monotonic()
    codes, output = train(tmp_path / 'run', method, 2, iteration=2, rank=1)
    assert codes == [1, -9], output
    assert 'another process of this run has ended or hangs' in output[0]
    assert time.monotonic() - begin < 60
