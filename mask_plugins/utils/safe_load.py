# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The one reader of foreign weight files: nothing in a file is ever run."""

import os
import sys
import zipfile
from typing import Any, Dict

from .checks import PathLike, check_path
from .inert_pickle import Budget, InertUnpickler
from .plain_values import PlainValues, is_known
from .safetensors_file import read_safetensors
from .storages import describe_storage

_MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before 1.6
_TAR = slice(257, 262)


def read_checkpoint(path: PathLike) -> Any:
    """Read a checkpoint as plain containers, numbers, text and tensors.

    It reads ``.safetensors``, both formats of ``torch.save`` and, of a
    TorchScript archive, the tensors by their path. No class or function that
    a file names is imported or called, with any version of torch; memory is
    bounded by the size of the file. What mmengine keeps next to the weights
    becomes plain too: a ``HistoryBuffer`` is the dict of its arrays, a
    ``ConfigDict`` or ``Namespace`` a dict, a scalar of numpy a number.

    Args:
        path (str | PathLike): The file.

    Returns:
        Any: Usually a dict; tensors are on the CPU and require no gradient.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder.
        ModuleNotFoundError: If it is a safetensors file, and the library is
            not installed.
        ValueError: If the file is damaged or of another format, or names a
            function or class that is not one of the allowed.

    Examples:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(dict(epoch=3, w=torch.ones(2)), f'{folder}/a.pth')
        ...     read_checkpoint(f'{folder}/a.pth')
        {'epoch': 3, 'w': tensor([1., 1.])}
    """
    path = check_path('path', path)
    if os.path.isdir(path):
        raise IsADirectoryError(f'{path!r} is a folder, not a checkpoint')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'checkpoint not found: {path!r}')
    with open(path, 'rb') as file:
        head = file.read(_TAR.stop)
    try:
        if head[:4] == b'PK\x03\x04':
            return _read_zip(path)
        if path.endswith('.safetensors') or head[8:9] == b'{':
            return read_safetensors(path)[0]
        if head[:1] == b'\x80':
            return _read_legacy(path)
        if head[_TAR] == b'ustar':
            raise ValueError('it is of the tar format of torch before 0.4')
        raise ValueError(
            'it is neither of torch.save, TorchScript nor safetensors'
            if head
            else 'it is empty'
        )
    except ModuleNotFoundError:
        raise
    # The file is a stranger's: whatever else reading it raises is its fault.
    except Exception as error:
        reason = _printable(error)
        if type(error) is not ValueError:
            reason = f'it is damaged ({type(error).__name__}: {reason})'
        raise ValueError(
            f'{path!r} is not a checkpoint that can be read: {reason}. '
            'Nothing in it was run'
        ) from error


def _printable(error: Exception) -> str:
    """One short line, without what a terminal would obey."""
    line = f'{error} '.splitlines()[0][:300].strip()
    return ascii(line)[1:-1] or 'no reason'


def _read_zip(path: str) -> Any:
    size = os.path.getsize(path)
    budget = Budget(size)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        roots = [name for name in names if name.endswith('/data.pkl')]
        if len(roots) != 1 or len(set(names)) < len(names):
            raise ValueError('it is a zip file, but not of torch.save')
        root = roots[0][: -len('data.pkl')]

        def read(name: str) -> bytes:
            member = archive.getinfo(f'{root}{name}')
            stored = member.compress_type == zipfile.ZIP_STORED
            if (
                not stored
                or max(member.file_size, member.compress_size) > size
            ):
                raise ValueError(f'{name} in it is compressed or damaged')
            budget.spend(member.file_size)
            return archive.read(member)

        def read_storage(key: str, nbytes: int) -> bytearray:
            return bytearray(read(f'data/{key}'))

        if f'{root}byteorder' in names:
            order = read('byteorder').decode()
            if order != sys.byteorder:
                raise ValueError(f'it has the byte order {order!r}')
        loaded = InertUnpickler(read('data.pkl'), is_known, budget).load()
        return PlainValues(read_storage, budget).convert(loaded)


def _read_legacy(path: str) -> Any:
    with open(path, 'rb') as file:
        data = file.read()
    budget = Budget(len(data))
    reader = InertUnpickler(data, is_known, budget)
    places: Dict[str, int] = {}

    def read_storage(key: str, nbytes: int) -> bytearray:
        return bytearray(data[places[key] : places[key] + nbytes])

    values = PlainValues(read_storage, budget)
    magic, _, system = (values.convert(reader.load()) for _ in range(3))
    if magic != _MAGIC:
        raise ValueError('it is a pickle, but not of torch.save')
    if system.get('little_endian') != (sys.byteorder == 'little'):
        raise ValueError('it has another byte order')
    loaded = reader.load()
    described = (describe_storage(call) for call in reader.storages)
    sizes = {key: nbytes for _, key, nbytes in described}
    for key in values.convert(reader.load()):
        reader.take(8)  # the number of elements
        places[key] = reader.position
        reader.take(sizes[key])
    return values.convert(loaded)
