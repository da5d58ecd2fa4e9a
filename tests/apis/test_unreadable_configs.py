# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A config that cannot be read is named, by every tool that reads one."""

import pytest

from mask_plugins.apis.config import load_config

from ..common.tools import end_of

FILES = {
    'binary.py': bytes(range(256)),
    'syntax.py': b'model = dict(',
    'null.py': b'a = 1\0',
    'loop.py': b"_base_ = 'loop.py'",
    'base.py': b"_base_ = 'syntax.py'",
    'list.json': b'[1]',
    'half.json': b'{"a": ',
    'half.yaml': b'a: [1',
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('configs')
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize('name', FILES)
def test_it_is_named(folder, name):
    with pytest.raises(ValueError, match=f'config .*{name}, or a base, cann'):
        load_config(folder / name)


def test_errors_of_its_code_are_its_own(tmp_path):
    path = tmp_path / 'own.py'
    for code, error in (('1 / 0', ZeroDivisionError), ('().x', Exception)):
        path.write_text(code)
        with pytest.raises(error, match='division|attribute'):
            load_config(path)


@pytest.mark.parametrize(
    ('tool', 'before', 'after'),
    [
        ('train', [], []),
        ('test', [], ['none']),
        ('slurm/sweep', ['plan'], ['--out', 'out']),
    ],
)
def test_tools_end_with_one_line(
    folder, tool, before, after, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    args = (*before, folder / 'syntax.py', *after)
    code = end_of(monkeypatch, tool, *args)
    said = f'{code}{capsys.readouterr().err}'
    assert 'syntax.py, or a base, cannot be read' in said
    assert 'Traceback' not in said
    assert not list(tmp_path.iterdir())
