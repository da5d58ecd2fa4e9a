# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The compiled library is found, refused or switched off; where it runs."""

import logging
import shutil

import pytest

from mask_plugins import native


@pytest.fixture
def fresh():
    """Load again in the test and after it."""
    native._load.cache_clear()
    yield
    native._load.cache_clear()


@pytest.fixture
def built():
    """The library, where this checkout has one."""
    found = native.library()
    if found is None:
        pytest.skip(native.status())
    return found


def test_it_is_loaded_once(built):
    assert native.library() is built
    assert built.mask_plugins_interface() == native.INTERFACE
    name = built.mask_plugins_cpu().decode()
    assert native.status() == f'compiled kernels for {name}'


def test_the_switch(built, monkeypatch):
    monkeypatch.setenv(native.SWITCH, '0')
    assert native.library() is None
    assert native.status().startswith('torch: switched off')
    monkeypatch.delenv(native.SWITCH)
    assert native.library() is built


def test_not_built(fresh, monkeypatch, tmp_path, caplog):
    monkeypatch.delenv(native.SWITCH, raising=False)
    monkeypatch.setattr(native, 'FOLDER', tmp_path)
    with caplog.at_level(logging.INFO):
        assert native.library() is None
        assert native.library() is None
    (record,) = caplog.records
    assert record.getMessage() == native.status()
    assert 'kernels_baseline.so is not built' in native.status()


def test_another_version(built, fresh, monkeypatch):
    monkeypatch.setattr(native, 'INTERFACE', native.INTERFACE + 1)
    assert native.library() is None
    assert 'of another version, build it again' in native.status()


def test_a_file_that_is_no_library(fresh, monkeypatch, tmp_path):
    monkeypatch.delenv(native.SWITCH, raising=False)
    (tmp_path / 'kernels_baseline.so').write_text('text')
    monkeypatch.setattr(native, 'FOLDER', tmp_path)
    assert native.library() is None
    assert native.status().startswith('torch: no compiled kernels')


def test_the_oldest_cpu_runs_the_baseline(built, fresh, monkeypatch, tmp_path):
    """What is missing for this CPU is not replaced by what it cannot run."""
    shutil.copy(native.FOLDER / 'kernels_baseline.so', tmp_path)
    monkeypatch.setattr(native, 'FOLDER', tmp_path)
    name = built.mask_plugins_cpu().decode()
    assert (native.library() is None) == (name != 'baseline')


def test_a_build_that_is_missing(built, fresh, monkeypatch, tmp_path):
    """An older compiler makes no widest build: the next one runs."""
    best = built.mask_plugins_cpu().decode()
    _, *others = native.INSTRUCTION_SETS[native.INSTRUCTION_SETS.index(best) :]
    for name in others:
        shutil.copy(native.FOLDER / f'kernels_{name}.so', tmp_path)
    monkeypatch.setattr(native, 'FOLDER', tmp_path)
    expected = f'compiled kernels for {others[0]}' if others[1:] else 'torch:'
    assert native.status().startswith(expected)


@pytest.mark.parametrize('name', native.INSTRUCTION_SETS)
def test_a_build_is_chosen(built, fresh, monkeypatch, name):
    monkeypatch.setenv(native.SWITCH, name)
    if name in native.runnable():
        assert native.status() == f'compiled kernels for {name}'
    else:
        with pytest.raises(ValueError, match=f'MASK_PLUGINS_NATIVE.*{name}'):
            native.library()


def test_an_unknown_build(built, fresh, monkeypatch):
    monkeypatch.setenv(native.SWITCH, 'neon')
    with pytest.raises(ValueError, match="must be 0, 1 or one of .*'neon'"):
        native.library()


def test_only_what_is_built_can_be_chosen(built, fresh, monkeypatch, tmp_path):
    shutil.copy(native.FOLDER / 'kernels_baseline.so', tmp_path)
    widest, *others = native.runnable()
    if not others:
        pytest.skip('this CPU runs the baseline only')
    monkeypatch.setattr(native, 'FOLDER', tmp_path)
    monkeypatch.setenv(native.SWITCH, widest)
    with pytest.raises(ValueError, match=f"'baseline',.*got '{widest}'"):
        native.library()


def test_threads_are_those_of_torch(built):
    assert native._threads_of_torch()
