# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The picture of self-masking comes from the table of its README."""

import importlib.util
import sys

from ..small_run import ROOT

DEMO = ROOT / 'demo' / 'accuracy_storage.py'


def test_the_picture_has_what_the_table_says(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location('accuracy_storage', DEMO)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    found = demo.read_rows(demo.README.read_text(encoding='utf-8'))
    assert list(found) == ['digits 5 to 9', 'CIFAR-10, reduced']
    assert [row[0] for row in found['digits 5 to 9']] == [
        2580,
        111166,
        2842835,
    ]
    assert found['digits 5 to 9'][1] == (111166, 98.5, 1.2, 'smn')
    assert [row[2] for row in found['CIFAR-10, reduced']] == [None] * 3
    picture = tmp_path / 'out.png'
    monkeypatch.setattr(sys, 'argv', ['demo', '--out', str(picture)])
    demo.main()
    assert picture.stat().st_size > 1000
