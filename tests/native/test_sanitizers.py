# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The tests of the kernels, compiled with ASan and UBSan."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mask_plugins import native

from ..common.processes import clean_environ, run

ROOT = Path(__file__).parents[2]
# Null pointers and sizes are seen by ASan, too, and vectors are loaded by
# memcpy; these checks take a third of the compiler's time.
FLAGS = (
    '-fsanitize=address,undefined -fno-sanitize-recover=all '
    '-fno-sanitize=null,object-size,alignment'
)
CODE = """
import sys
from pathlib import Path
from mask_plugins import native
native.FOLDER = Path(sys.argv[1])
assert native.library() is not None, native.status()
import pytest
sys.exit(pytest.main(['-q', '-x', '-p', 'no:cacheprovider', *sys.argv[2:]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which('gcc') is None, reason='no gcc')
def test_nothing_is_read_or_written_outside(tmp_path):
    found = ['gcc', '-print-file-name=libasan.so']
    asan = Path(subprocess.check_output(found, text=True).strip())
    if not asan.is_absolute():
        pytest.skip('gcc has no libasan')
    # C++ takes CFLAGS or CXXFLAGS, by the version of setuptools.
    names = ('CFLAGS', 'CXXFLAGS', 'LDFLAGS')
    env = clean_environ(**dict.fromkeys(names, FLAGS))
    folders = ('--build-lib', tmp_path, '--build-temp', tmp_path / 'objects')
    build = ('-q', 'build_ext', *folders)
    run(sys.executable, 'setup.py', *build, cwd=ROOT, env=env)
    checked = tmp_path / 'mask_plugins' / 'native'
    found = {path.name: path.read_bytes() for path in checked.iterdir()}
    assert found.keys() >= {p.name for p in native.FOLDER.glob('*.so')}
    for part in (b'__asan_report_load4', b'__ubsan_handle'):
        assert all(part in library for library in found.values())
    env = clean_environ(LD_PRELOAD=str(asan), ASAN_OPTIONS='detect_leaks=0')
    tests = Path(__file__).parent.glob('test_*.py')
    names = [path for path in tests if path != Path(__file__)]
    options = (checked, *names)
    chosen = ('-k', 'not fork and not library')
    output = run(
        sys.executable, '-c', CODE, *options, *chosen, env=env, cwd=ROOT
    )
    assert ' passed' in output
    assert 'runtime error' not in output
