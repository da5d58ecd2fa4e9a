# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is wrong with the input is one line, and nothing else is shown."""

import subprocess
import sys

import pytest

from tests.common.processes import clean_environ

COMMANDS = [
    'tools/analysis/extract_features.py none.py none.pth --out a.safetensors',
    'tools/analysis/plot_training.py none',
    'tools/benchmarks/pass_labeled.py none.py none.pth',
    'tools/benchmarks/pass_stream.py none.avi --parts frontier --out a.json',
    'tools/benchmarks/scaling.py --sizes 0 --out a.json',
    'tools/cascade.py run none.yaml',
    'tools/model_converters/deit_to_mask_plugins.py none.pth a.pth',
    'tools/model_converters/stock_to_safe.py none.pth a.pth',
    'tools/slurm/sweep.py status none',
    'tools/weights/combine_masks.py none.safetensors none.safetensors'
    ' --how and --out a.safetensors',
    'demo/stream_demo.py none.avi',
]


@pytest.mark.parametrize('command', COMMANDS, ids=lambda c: c.split()[0])
def test_one_line_and_exit_code_1(command, repo_root, tmp_path):
    tool, *args = command.split()
    done = subprocess.run(
        [sys.executable, repo_root / tool, *args],
        cwd=tmp_path,
        env=clean_environ(PYTHONPATH=str(repo_root), PYTHONWARNINGS=''),
        capture_output=True,
        text=True,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: ')
    assert 'none' in line or 'sizes' in line
    assert done.returncode == 1
    assert not any(tmp_path.glob('a.*'))
