# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A grid search as a table and as pictures."""

import runpy

from tests.analysis.test_run_columns import grid


def test_a_grid_with_ranks(tmp_path, repo_root, capsys):
    tool = repo_root / 'tools' / 'analysis' / 'compare_runs.py'
    out = tmp_path / 'out'
    runs = grid(tmp_path)
    runpy.run_path(str(tool))['main']([*runs, '--out', str(out)])
    table = (out / 'compare_runs.md').read_text()
    assert 'rankme/rank final' in table
    assert '| mask_ratio=0.85, inv_mode=v2 | 2 | 80.50 ±' in table
    assert sorted(path.name for path in out.glob('*.png')) == [
        'compare_runs.png',
        'compare_runs_accuracy-rank.png',
        'compare_runs_cifar10_1-accuracy-top1.png',
        'compare_runs_probe-top1.png',
        'compare_runs_rankme-rank.png',
    ]
