# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The benchmark measures what it says; none of this depends on a time."""

from mask_plugins.benchmarks.reference_models import (
    METHODS,
    ReferenceModelBenchmark,
)
from tests.common.tools import run_benchmark

SMALL = dict(channels=4, batch_size=2, rounds=1, rows=300, dims=16)


def test_tool(tmp_path, monkeypatch, capsys):
    tool, given = 'benchmarks/reference_models', dict(SMALL, device='cpu')
    printed, result = run_benchmark(
        monkeypatch, capsys, tmp_path, tool, **given
    )
    assert 'KD: training step to CE' in printed
    assert 'target 1.4' in printed
    rows = {row['method']: row for row in result['steps']}
    assert list(rows) == list(METHODS)
    assert rows['CE']['to_ce']['median'] == 1
    assert [row['network'] for row in result['ema']] == ['ResNet-18', 'ViT-S']
    assert result['rankme']['relative_error'] < 1e-6
    assert 1 < result['rankme']['values']['svd'] < 16


def test_the_methods_are_what_they_say():
    benchmark = ReferenceModelBenchmark(**SMALL)
    for name, (teacher, scope, masked) in METHODS.items():
        model = benchmark.network(name)
        assert hasattr(model, 'teacher') == (teacher is not None)
        assert model.training
        if teacher is not None:
            assert model.teacher.active
            assert model.scope == scope
            own = dict(model.student_network().named_children())
            assert ('backbone' in own) == (scope == 'whole')
        assert hasattr(model.head, 'mask_ratio') == (masked is not None)
