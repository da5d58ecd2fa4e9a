# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import re
from pathlib import Path

import numpy as np
import pytest

from mask_plugins.analysis.runs.iteration_times import (
    epoch_times,
    times_by_ratio,
)
from mask_plugins.analysis.runs.run_log import RunLog, smooth
from mask_plugins.utils.files import (
    read_json,
    read_json_lines,
    write_json,
    write_json_lines,
)
from tests.evaluation.runs import CYCLE, PER_EPOCH, write_run


@pytest.fixture
def folder(tmp_path):
    return Path(write_run(tmp_path / 'run'))


def test_positions_in_epochs_and_hours(folder):
    run = RunLog(folder)
    assert run.name == 'run'
    assert run.iters_per_epoch == PER_EPOCH
    assert run.epoch[0] == 0.1
    assert run.epoch[-1] == 3.0
    assert run.val_epoch.tolist() == [1, 2, 3]
    seconds = sum(1 - drop for drop in CYCLE)
    assert np.isclose(run.hours[-1], 3 * seconds / 3600)
    assert np.allclose(run.val_hours * 3600, seconds * np.arange(1, 4))


def test_logs_of_the_original_have_no_iteration_in_validation(folder):
    log = folder / 'val_log.json'
    log.write_text(log.read_text().replace('"iteration"', '"other"'))
    assert RunLog(folder).val_epoch.tolist() == [1, 2, 3]


def test_what_was_not_logged_is_nan(tmp_path):
    run = RunLog(write_run(tmp_path / 'run', schedule=False))
    assert np.isnan(run.column('patch_drop_ratio')).all()


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('{"epoch": 0', r'train_log\.json, line 5'),
        ('{"epoch": 0}', "line 5: 'time' must be a number"),
    ],
)
def test_corrupt_logs_are_named(folder, line, message):
    log = folder / 'train_log.json'
    lines = log.read_text().splitlines()
    log.write_text('\n'.join([*lines[:4], line, *lines[5:]]) + '\n')
    with pytest.raises(ValueError, match=message):
        RunLog(folder)


@pytest.mark.parametrize(
    ('lines', 'quick'),
    [
        (['{"epoch": 0, "loss": 1e-05, "time": 0.5, "rank": 3}'] * 3, True),
        (['{"epoch": 0, "loss": null, "time": 2}'], True),
        (['{"epoch": 0, "time": 2}', '{"epoch": 1, "loss": 1, "time": 2}'],
         True),
        (['{"epoch": 0, "loss": "\\"loss\\": 3", "time": 2}'], True),
        (['{"epoch": 0, "loss": true, "time": 2}'], True),
        (['{"epoch": 0, "loss": {"loss": 2}, "time": 2}'], True),
        (['{"time": 2, "epoch": 0, "loss": 2}'], False),
        (['{"epoch": 0, "loss": 2, "time": 2}', ''], False),
        (['{"epoch": 0, "loss": 2, "x": {"time": 2}, "time": 3}'], False),
    ],
)  # fmt: skip
def test_columns_without_parsing_are_the_parsed_ones(tmp_path, lines, quick):
    path = tmp_path / 'train_log.json'
    path.write_text('\n'.join(lines) + '\n')
    log, parsed = RunLog(tmp_path), RunLog(tmp_path)
    assert (log._quick is not None) == quick
    parsed._quick = None
    for key in ('epoch', 'time', 'loss', 'rank', 'none'):
        np.testing.assert_array_equal(log.column(key), parsed.column(key))
    assert set(log.keys) == set(parsed.keys) or '{"loss": 2}' in lines[0]
    np.testing.assert_array_equal(log.epoch, parsed.epoch)
    np.testing.assert_array_equal(log.hours, parsed.hours)


def test_missing_and_empty_logs_are_named(folder):
    with pytest.raises(FileNotFoundError, match=r'train_log\.json'):
        RunLog(folder.parent)
    (folder / 'train_log.json').write_text('')
    with pytest.raises(ValueError, match='is empty'):
        RunLog(folder)


def test_a_last_line_that_is_cut_is_left_out_and_noted(folder):
    train, val = folder / 'train_log.json', folder / 'val_log.json'
    text = train.read_text()
    train.write_text(text[:-12])
    val.write_text('{"epoch": 0, "iter')
    run = RunLog(str(folder))
    assert len(run.train) == 3 * PER_EPOCH - 1
    assert run.val == []
    assert [note.split(' and ')[0] for note in run.notes] == [
        f'{train}, line 30 is cut,',
        f'{val}, line 1 is cut,',
    ]
    # Whole but for the end of the line: nothing is lost.
    train.write_text(text[:-1])
    val.unlink()
    run = RunLog(str(folder))
    assert len(run.train) == 3 * PER_EPOCH
    assert run.notes == []
    # Cut, but not the last: no crash leaves that.
    train.write_text(text[:-12] + '\n')
    with pytest.raises(ValueError, match=r'train_log\.json, line 30 is not'):
        RunLog(str(folder))
    train.write_text(text[:10])
    with pytest.raises(ValueError, match='has no whole line'):
        RunLog(str(folder))
    with pytest.raises(ValueError, match='line 1 is not JSON .a run that was'):
        read_json_lines(str(train))


@pytest.mark.parametrize('key', ['epoch', 'time'])
@pytest.mark.parametrize('value', ['Infinity', '1e999', '1' + 400 * '0'])
def test_a_number_that_is_none(folder, key, value):
    """Of a log that is not parsed line by line, too."""
    log = folder / 'train_log.json'
    old, new = rf'"{key}": [0-9.]+', f'"{key}": {value}'
    log.write_text(re.sub(old, new, log.read_text(), count=1))
    with pytest.raises(ValueError, match=f'line 1: .{key}. must be a number'):
        RunLog(folder)


def test_a_loss_beyond_any_float(folder):
    log = folder / 'train_log.json'
    first, rest = log.read_text().split('\n', 1)
    log.write_text(f'{{"loss2": 1{400 * "0"}, {first[1:]}\n{rest}')
    assert np.isnan(RunLog(folder).column('loss2')).all()


def test_json_files(tmp_path):
    path = tmp_path / 'sub' / 'a.json'
    write_json(path, dict(a=float('nan'), b=[1, float('inf')]))
    assert read_json(path) == dict(a=None, b=[1, None])
    assert list(path.parent.iterdir()) == [path]
    for read, text, message in (
        (read_json_lines, '[1]\n', 'line 1 must be a JSON object'),
        (read_json, '{', r'a\.json is not JSON'),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read(path)


def test_smoothing_has_no_bias_at_the_start_and_skips_nan():
    assert np.allclose(smooth(np.full(50, 7.0), 20), 7.0)
    assert smooth(np.array([1.0, 5.0, 2.0]), 1).tolist() == [1, 5, 2]
    out = smooth(np.array([np.nan, 2.0, np.nan]), 10)
    assert np.isnan(out[0])
    assert out[1:].tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match='0'):
        smooth(np.ones(3), 0)


def test_times_of_the_second_epoch(folder):
    times = epoch_times(RunLog(folder))
    assert times['epoch'] == 1
    assert [s['drop_ratio'] for s in times['segments']] == [0.8, 0.4, 0, 0.4,
                                                            0.8]  # fmt: skip
    means = [s['mean_ms'] for s in times['segments']]
    assert np.allclose(means, [200, 600, 1000, 600, 200])
    assert [s['first'] for s in times['segments']] == [0, 2, 4, 6, 8]
    assert times['removed'] == 0


def test_a_run_without_a_schedule_is_one_segment_without_outliers(tmp_path):
    folder = tmp_path / 'run'
    write_run(folder, epochs=1, schedule=False)
    log = str(folder / 'train_log.json')
    lines = read_json_lines(log) * 3
    lines[7] = dict(lines[7], time=500.0)
    write_json_lines(log, lines)
    times = epoch_times(RunLog(folder))
    assert times['removed'] == 1
    (segment,) = times['segments']
    assert segment['drop_ratio'] is None
    assert np.isclose(segment['mean_ms'], 1000)


def test_a_stall_in_a_short_stretch_is_an_outlier(tmp_path):
    """Few values are never three of their deviations away from their mean."""
    lines = []
    for number in range(45):
        ratio = (0.8, 0.4, 0.0, 0.4, 0.8)[number // 9]
        time = 1 - ratio + 0.001 * (number % 3)
        lines.append(dict(epoch=0, time=time, patch_drop_ratio=ratio))
    lines[13]['time'] = 1.5  # among nine of 0.6 s
    write_json_lines(str(tmp_path / 'train_log.json'), lines)
    times = epoch_times(RunLog(tmp_path))
    assert times['removed'] == 1
    assert 13 not in times['iteration']
    means = [segment['mean_ms'] for segment in times['segments']]
    assert np.allclose(means, [201, 601, 1001, 601, 201], atol=1)


def test_an_epoch_that_is_not_there(folder):
    run = RunLog(folder)
    with pytest.raises(
        ValueError, match='epoch in the log of run must be .*got 7'
    ):
        epoch_times(run, 7)


def test_time_by_ratio(tmp_path):
    rows = times_by_ratio(RunLog(write_run(tmp_path / 'run')))
    assert [row['drop_ratio'] for row in rows] == [0.0, 0.4, 0.8]
    assert np.allclose([row['share'] for row in rows], [0.2, 0.4, 0.4])
    assert np.allclose([row['mean_ms'] for row in rows], [1000, 600, 200])
    (row,) = times_by_ratio(RunLog(write_run(tmp_path / 'b', schedule=False)))
    assert row['drop_ratio'] == 0
