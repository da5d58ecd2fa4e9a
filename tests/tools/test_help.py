# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every tool has a help, with an example of a call."""

from pathlib import Path

import pytest

from .test_train import end_of

ROOT = Path(__file__).resolve().parents[2]
TOOLS = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.glob('tools/**/*.py')
    if not path.name.startswith('_')
)


@pytest.mark.parametrize('tool', TOOLS)
def test_help_has_an_example(tool, monkeypatch, capsys):
    assert end_of(monkeypatch, ROOT / tool, '--help') == 0
    help_text = ' '.join(capsys.readouterr().out.split())
    assert f'python {tool}' in help_text.partition('example: ')[2]
