# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Small pickles that would take any memory or time, or import a module."""

import struct
import time

import pytest

from mask_plugins.utils.safe_load import read_checkpoint
from tests.common.foreign_files import archive, number, text

LONG = text('a' * 1_000_000) + b'q\0'


def integer(value):
    return b'\x8a\x0c' + value.to_bytes(12, 'little', signed=True)


HOSTILE = dict(
    names=LONG + text('__torch__') + b'q\1(' + b'h\1h\0\x93' * 100_000 + b't',
    bytes=b'B' + struct.pack('<I', 10**6) + b'a' * 10**6
    + b'q\0c__builtin__\nbytes\n(' + b'h\0' * 100_000 + b'tR',
    path=LONG + b'cpathlib\nPosixPath\n(' + b'h\0' * 100_000 + b'tR',
    items=b'ccollections\ndeque\n)Rq\0(' + b'N' * 500_000 + b'e('
    + b'h\0' * 100_000 + b't',
    letters=LONG + b'c__builtin__\nset\n(h\0tR',
    collide=b'}(' + b''.join(
        integer(i * (2**61 - 1)) + b'N' for i in range(100_000)
    ) + b'u',
    lazy_import=b'ctorch\n_inductor\n',
    surrogate=b'X\3\0\0\0\xed\xa0\x80' + text('\x1b[2J') + b'\x93',
    no_item=b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85'
    + text('b') + b'tR(K\1' + number(2**31 - 1) + b'\x85cnumpy\ndtype\n('
    + text('S0') + b'tR\x89C\0tb',
)  # fmt: skip


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_pickles(tmp_path, name):
    archive(tmp_path / 'foreign.pth', HOSTILE[name])
    start = time.process_time()
    with pytest.raises(ValueError, match=r'foreign\.pth') as error:
        read_checkpoint(tmp_path / 'foreign.pth')
    assert time.process_time() - start < 10
    assert str(error.value).isascii()
    assert str(error.value).isprintable()
