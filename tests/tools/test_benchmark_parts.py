# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What all benchmarks share: clocks, memory, targets, refusals."""

from functools import partial

import pytest
import torch

from mask_plugins.benchmarks.pss import PSSBenchmark
from mask_plugins.benchmarks.reference_models import ReferenceModelBenchmark
from mask_plugins.benchmarks.weight_masks import WeightMaskBenchmark
from mask_plugins.utils.timing import Case, peak_memory, time_interleaved
from tests.common.tools import end_of

NO_CASES = partial(time_interleaved, {})


def test_cases_take_turns():
    calls, done = [], []
    cases = {
        name: Case(
            lambda name=name: calls.append(name),
            lambda name=name: calls.append(f'prepare {name}'),
        )
        for name in 'abc'
    }
    times = time_interleaved(
        cases, rounds=3, iters=2, progress=lambda *args: done.append(args)
    )
    assert {name: len(times[name]) for name in 'abc'} == dict(a=3, b=3, c=3)
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    orders = set()
    for start in range(0, len(calls), 9):
        turn = calls[start : start + 9]
        order = ''.join(turn[1::3])
        assert turn == [
            call for name in order for call in (f'prepare {name}', name, name)
        ]
        assert sorted(order) == ['a', 'b', 'c']
        orders.add(order)
    assert len(orders) > 1


def test_peak_memory_counts_what_a_step_allocates():
    def step():
        first = torch.zeros(2**18)  # 1 MiB
        second = first + 1
        del first
        return second * 2

    assert peak_memory(Case(step)) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ('benchmark', 'kwargs', 'message'),
    [
        (PSSBenchmark, dict(archs=['huge']), "arch must be .* got 'huge'"),
        (PSSBenchmark, dict(dtype='int8'), "dtype .* got 'int8'"),
        (PSSBenchmark, dict(image_size=100), 'image_size .* got 100'),
        (PSSBenchmark, dict(batch_size=0), 'batch_size .*got 0'),
        (PSSBenchmark, dict(layers=0), 'layers .*at least 1.*got 0'),
        (PSSBenchmark, dict(modes=['test']), "modes .* got 'test'"),
        (PSSBenchmark, dict(drop_ratios=[1.0]), r'in \[0, 1\), got 1.0'),
        (PSSBenchmark, dict(device='cuda', clock='cpu'), "device='cuda'"),
        (WeightMaskBenchmark, dict(archs=['vgg']), "archs must .* got 'vgg'"),
        (WeightMaskBenchmark, dict(archs=[]), 'archs must be one .* got None'),
        (WeightMaskBenchmark, dict(dtype='int8'), "dtype .* got 'int8'"),
        (WeightMaskBenchmark, dict(batch_size=1), 'batch_size .* at least 2'),
        (WeightMaskBenchmark, dict(image_size=4), 'image_size .* at least 8'),
        (ReferenceModelBenchmark, dict(channels=0), 'channels must be an int'),
        (ReferenceModelBenchmark, dict(batch_size=0), 'batch_size must be an'),
        (ReferenceModelBenchmark, dict(rows=0), 'rows must be an int'),
        (ReferenceModelBenchmark, dict(dims=0), 'dims must be an int'),
        (NO_CASES, dict(rounds=0), 'rounds must be .*, got 0'),
        (NO_CASES, dict(rounds=1, clock='sun'), "clock must be .* got 'sun'"),
    ],
)
def test_bad_settings(benchmark, kwargs, message):
    with pytest.raises(ValueError, match=message):
        benchmark(**kwargs)


@pytest.mark.parametrize(
    ('tool', 'options', 'message'),
    [
        ('pss', ('--image-size', 100), 'image_size'),
        ('weight_masks', ('--batch-size', 1), 'batch_size'),
    ],
)
def test_tool_refuses_before_it_measures(
    tmp_path, monkeypatch, tool, options, message
):
    tool, out = f'benchmarks/{tool}', tmp_path / 'a.json'
    assert message in end_of(monkeypatch, tool, *options, '--out', out)
    assert end_of(monkeypatch, tool, '--out', tmp_path / 'a.txt') == 2
    assert not list(tmp_path.iterdir())
