# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The state of many runs."""

import os

import pytest

from mask_plugins.analysis.cli import show
from mask_plugins.engine.checkpoint.run_state import FAILED
from mask_plugins.sweeps import run_status, tables
from mask_plugins.sweeps.run_status import newest_logs, sweep_status
from mask_plugins.sweeps.scaling import make_sweep


def test_the_folder_of_logs_is_read_once(tmp_path, monkeypatch):
    made = make_sweep(tmp_path, 12, 1, FAILED)
    read, scandir = [], os.scandir
    monkeypatch.setattr(
        run_status.os,
        'scandir',
        lambda path: read.append(path) or scandir(path),
    )
    found = sweep_status(made)
    assert [one.detail for one in found] == [
        f'ValueError: {index}' for index in range(12)
    ]
    assert read == [str(tmp_path / 'logs')]


def test_the_newest_log_of_each_run(tmp_path):
    made = make_sweep(tmp_path, 2, 1, FAILED)
    logs = tmp_path / 'logs'
    for number, name in enumerate(('8_1.out', '9_1.out', '7_1.out')):
        (logs / name).write_text('')
        os.utime(logs / name, (5e9 - abs(1 - number), 5e9 - abs(1 - number)))
    # Of no run, and one that is moved away while it is looked at.
    for name in ('9_x.out', '.9_1.out', '9_1.outer', '1.out'):
        (logs / name).write_text('')
    (logs / '9_0.out').symlink_to('nowhere')
    assert newest_logs(made) == {
        0: str(logs / 'local_0.out'),
        1: str(logs / '9_1.out'),
    }
    assert newest_logs(made._replace(folder=str(tmp_path / 'new'))) == {}


@pytest.mark.parametrize('drawn', [1000, 1])
def test_a_long_table_is_text(tmp_path, drawn, monkeypatch, capsys):
    monkeypatch.setattr(tables, 'MOST_DRAWN', drawn)
    found = sweep_status(make_sweep(tmp_path, 2, 1, FAILED))
    show(tables.status_page(found, 'acc1'))
    printed = capsys.readouterr().out
    for part in ('run-1', 'ValueError: 1', '90.00', '2 runs: 2 failed'):
        assert part in printed
    assert '[red]' not in printed
