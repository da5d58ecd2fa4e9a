# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Run a file of ``tools`` in this process."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def call_tool(tool, *args):
    """Call ``main(args)`` of ``tools/TOOL.py``."""
    path = ROOT / 'tools' / f'{tool}.py'
    return runpy.run_path(str(path))['main']([str(arg) for arg in args])


def run_tool(monkeypatch, tool, *args):
    """Run ``tools/TOOL.py`` as from a command line."""
    path = str(ROOT / 'tools' / f'{tool}.py')
    monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
    return runpy.run_path(path, run_name='__main__')


def end_of(monkeypatch, tool, *args):
    """What ``tools/TOOL.py`` exits with, without any launcher."""
    for name in ('RANK', 'WORLD_SIZE', 'SLURM_PROCID', 'SLURM_NTASKS'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('LOCAL_RANK', '0')
    with pytest.raises(SystemExit) as error:
        run_tool(monkeypatch, tool, *args)
    return error.value.code


def run_benchmark(monkeypatch, capsys, folder, tool, **options):
    """What a quick benchmark prints, and its results."""
    given = [f'--{key.replace("_", "-")}={v}' for key, v in options.items()]
    out = folder / 'sub' / 'results.json'
    run_tool(monkeypatch, tool, '--quick', *given, '--out', out)
    assert out.with_suffix('.png').stat().st_size
    return capsys.readouterr().out, json.loads(out.read_text())
