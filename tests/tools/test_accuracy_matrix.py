# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The accuracy matrix of several runs."""

import json

import pytest

from mask_plugins.functional.continual import continual_report
from tests.common.tools import call_tool


def test_mean_of_runs(tmp_path, capsys):
    folders = [tmp_path / f'run{n}' for n in range(2)]
    for n, folder in enumerate(folders):
        folder.mkdir()
        report = continual_report([[90.0], [50.0 + n, 80.0]], [['a'], ['b']])
        (folder / 'accuracy_matrix.json').write_text(json.dumps(report))
    out = tmp_path / 'out'
    args = [*folders, '--out', out, '--title', 'two']
    call_tool('analysis/accuracy_matrix', *args)
    assert '| task 2 | 50.50 | 80.00 |' in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names == {
        f'accuracy_matrix_mean.{e}' for e in ('md', 'json', 'png')
    }
    found = json.loads((out / 'accuracy_matrix_mean.json').read_text())
    assert found['forgetting'] == 39.5


def test_no_such_run(tmp_path):
    with pytest.raises(SystemExit, match='file not found|No such file'):
        call_tool('analysis/accuracy_matrix', tmp_path / 'none')
