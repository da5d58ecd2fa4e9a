# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every tool has a help, with an example of a call, and has it soon."""

import pytest

from ..common.processes import run_python
from ..common.tools import ROOT, end_of

TOOLS = sorted(
    str(path.relative_to(ROOT / 'tools').with_suffix(''))
    for path in ROOT.glob('tools/**/*.py')
    if not path.name.startswith('_')
)
DEMOS = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob('demo/*.py'))
#: What takes seconds to import.
HEAVY = ('torch', 'matplotlib.figure', 'mmpretrain', 'mmcv', 'sklearn')
# One process for all: what the first imports, each would import.
CODE = """
import runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, '--help']
    try:
        runpy.run_path(path, run_name='__main__')
    except SystemExit as end:
        assert end.code in (0, None), path
    found = [name for name in {heavy} if name in sys.modules]
    if found:
        sys.exit('--help of ' + path + ' imports ' + ', '.join(found))
"""


@pytest.mark.parametrize('tool', TOOLS)
def test_help_has_an_example(tool, monkeypatch, capsys):
    assert end_of(monkeypatch, tool, '--help') == 0
    help_text = ' '.join(capsys.readouterr().out.split())
    assert f'python tools/{tool}.py' in help_text.partition('example: ')[2]


@pytest.mark.parametrize('demo', DEMOS)
def test_help_of_a_demo_has_an_example(demo):
    help_text = run_python(ROOT / demo, '--help')
    assert f'python {demo}' in help_text


def test_help_comes_before_heavy_imports():
    """Mim asks for it before each run."""
    paths = [*(f'tools/{tool}.py' for tool in TOOLS), *DEMOS]
    run_python('-c', CODE.format(heavy=HEAVY), *(ROOT / p for p in paths))
