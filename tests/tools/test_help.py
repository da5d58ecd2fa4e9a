# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every tool has a help, with an example of a call."""

import pytest

from ..common.tools import ROOT, end_of

TOOLS = sorted(
    str(path.relative_to(ROOT / 'tools').with_suffix(''))
    for path in ROOT.glob('tools/**/*.py')
    if not path.name.startswith('_')
)


@pytest.mark.parametrize('tool', TOOLS)
def test_help_has_an_example(tool, monkeypatch, capsys):
    assert end_of(monkeypatch, tool, '--help') == 0
    help_text = ' '.join(capsys.readouterr().out.split())
    assert f'python tools/{tool}.py' in help_text.partition('example: ')[2]
