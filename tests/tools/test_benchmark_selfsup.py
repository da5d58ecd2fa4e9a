# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The benchmark of self-supervised masking; no test depends on a time."""

import json

import torch

from mask_plugins.benchmarks.selfsup import plain_sinkhorn
from mask_plugins.functional.sinkhorn import sinkhorn
from tests.common.tools import run_tool


def test_tool_writes_json(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'results.json'
    run_tool(
        monkeypatch, 'benchmarks/selfsup', '--quick', '--rounds', 1,
        '--batch-size', 2, '--queries', 20, '--bank', 300, '--out', out,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert 'masked SwAV: step to stock SwAV' in printed
    assert '6 adapters: ' in printed
    result = json.loads(out.read_text())
    assert [row['kind'] for row in result['swav']] == [
        'stock, fine-tuned', 'masked',
    ]  # fmt: skip
    masked = result['swav'][1]['extra_bytes_per_weight']
    assert 4 < masked < 12
    assert [row['samples'] for row in result['sinkhorn']] == [64] * 2 + [
        64 + 3840
    ] * 2
    assert len(result['experts']) == 4
    assert len(result['targets']) == 4


def test_the_yardstick_computes_the_same():
    torch.manual_seed(0)
    scores = torch.rand(20, 6).double() * 2 - 1
    torch.testing.assert_close(plain_sinkhorn(scores), sinkhorn(scores))
