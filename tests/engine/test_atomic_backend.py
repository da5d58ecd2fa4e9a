# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import pytest
from mmengine.fileio import get_file_backend

from mask_plugins.engine.checkpoint.atomic_backend import (
    ATOMIC,
    AtomicLocalBackend,
)
from mask_plugins.utils.files import remove_leftovers, write_atomically

from ..common.disk import full_disk


def test_write_and_replace(tmp_path):
    backend = get_file_backend(backend_args=dict(backend=ATOMIC))
    path = tmp_path / 'new' / 'file'
    backend.put(b'one', path)
    backend.put_text('zwei', str(path))
    assert path.read_text() == 'zwei'
    assert [p.name for p in path.parent.iterdir()] == ['file']


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    AtomicLocalBackend().put(b'one', 'file')
    assert (tmp_path / 'file').read_bytes() == b'one'


@pytest.mark.parametrize(
    'write',
    [
        lambda path, data: AtomicLocalBackend().put(data, path),
        lambda path, data: write_atomically(path, data),
        lambda path, data: write_atomically(str(path), data.decode()),
    ],
)
def test_a_failing_write_leaves_the_old_file(tmp_path, write):
    path = tmp_path / 'file'
    write(path, b'old')
    message = r'could not write .*untouched'
    with full_disk(), pytest.raises(OSError, match=message):
        write(path, b'x' * 5000)
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['file']


def test_leftovers(tmp_path):
    (tmp_path / '.epoch_1.pth.12.mask_plugins-tmp').write_bytes(b'half')
    (tmp_path / 'epoch_1.pth').write_bytes(b'whole')
    assert len(remove_leftovers(tmp_path)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ['epoch_1.pth']
    assert remove_leftovers(tmp_path / 'missing') == []
