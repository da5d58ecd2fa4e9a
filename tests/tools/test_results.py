# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Rows of the results page: run, continued, checked, written."""

import json
from contextlib import suppress

import pytest

from mask_plugins.analysis.runs.result_rows import read_results
from tests.common.tools import ROOT, call_tool

PUBLISHED = ROOT / 'docs' / 'results'


def test_the_page_is_what_the_json_files_say():
    """Nobody has typed into it, and no file was forgotten."""
    path = ROOT / 'docs' / 'results.md'
    before = path.read_text(encoding='utf-8')
    call_tool('results', '--page')
    assert path.read_text(encoding='utf-8') == before


def test_published_rows_say_how_they_were_made():
    records = read_results(str(PUBLISHED))
    assert records
    for name, record in records.items():
        assert f'--rows {name}' in record['command']
        assert record['commit'].strip('+')
        assert all(
            {'seed', 'value', 'seconds'} <= set(r) for r in record['runs']
        )


def test_seeds_that_are_there_are_not_run_again(tmp_path, capsys):
    """A mean outside the published spread is named, with exit code 1."""
    record = json.loads((PUBLISHED / 'cs-dense.json').read_text())
    near, far = dict(record), dict(record)
    value = record['runs'][0]['value']
    near['runs'] = [dict(seed=0, value=value + 0.1, seconds=1.0)]
    far['runs'] = [dict(seed=0, value=value - 40, seconds=1.0)]
    options = ['--rows', 'cs-dense', '--seeds', 0, '--out', tmp_path]
    path = tmp_path / 'cs-dense.json'
    path.write_text(json.dumps(near))
    call_tool('results', *options)
    path.write_text(json.dumps(far))
    with pytest.raises(SystemExit, match='1'):
        call_tool('results', *options)
    assert 'left its spread: cs-dense' in capsys.readouterr().out


def test_what_is_wrong_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match='error: no row'):
        call_tool('results', '--rows', 'nope', '--out', tmp_path)
    (tmp_path / 'cs-dense.json').write_text('{"format": 1}')
    with pytest.raises(SystemExit, match='is not a result of format 1'):
        call_tool('results', '--rows', 'cs-dense', '--out', tmp_path)


@pytest.mark.slow
def test_a_row_is_run(tmp_path):
    """One epoch; the row that it needs comes first."""
    # Where the row is published, a run as short as this left its spread.
    with suppress(SystemExit):
        call_tool(
            'results', '--rows', 'smn-masks', '--seeds', 0, '--out', tmp_path,
            '--cfg-options', 'train_cfg.max_epochs=1',
        )  # fmt: skip
    record = json.loads((tmp_path / 'smn-masks.json').read_text())
    (run,) = record['runs']
    assert run['seed'] == 0
    assert 0 <= run['value'] <= 100
    assert 'train_cfg.max_epochs=1' in record['command']
    assert (tmp_path / 'runs' / 'smn-pretrain-0' / 'epoch_1.pth').exists()
