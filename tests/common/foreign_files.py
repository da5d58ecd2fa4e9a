# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Files of strangers: they run code, lie about sizes, or are damaged.

Each writer takes the path to write and a canary: a file that exists if the
code in the written one was run.
"""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from typing import Tuple

import torch
from torch import nn

PROTO, STOP = b'\x80\x02', b'.'


class Runs:
    """What a pickle of this calls when it is loaded."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def touch(canary):
    return Runs(os.system, f'touch {canary}')


class ScriptedState(nn.Module):
    """TorchScript whose loading writes a file."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path
        self.weight = nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self) -> Tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[str, bool]) -> None:
        self.path = state[0]
        self.weight = torch.from_file(state[0], shared=True, size=16)
        self.training = state[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def script(path, canary):
    """TorchScript with code in ``__setstate__``."""
    torch.jit.script(ScriptedState(str(canary))).save(str(path))
    os.remove(canary) if os.path.exists(canary) else None


def text(value):
    """``value`` as an instruction of a pickle."""
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def number(value):
    return b'J' + struct.pack('<i', value)


def tensor(count, offset=0, size=None, stride=1, key='0', kind='Float'):
    """A tensor whose parts may lie."""
    size = count if size is None else size

    def integer(value):
        data = value.to_bytes(9, 'little', signed=True)
        return b'\x8a\x09' + data

    return (
        b'ctorch._utils\n_rebuild_tensor_v2\n(('
        + text('storage')
        + f'ctorch\n{kind}Storage\n'.encode()
        + text(key)
        + text('cpu')
        + integer(count)
        + b'tQ'
        + integer(offset)
        + integer(size)
        + b'\x85'
        + integer(stride)
        + b'\x85\x89)tR'
    )


def archive(path, data, storages=None, method=zipfile.ZIP_STORED):
    """A zip file of ``torch.save`` around a pickle."""
    with zipfile.ZipFile(path, 'w', method) as file:
        file.writestr('archive/data.pkl', PROTO + data + STOP)
        for key, content in (storages or {}).items():
            file.writestr(f'archive/data/{key}', content)


def named(weights):
    """A dict with one entry, ``state_dict``."""
    return b'}' + text('state_dict') + weights + b's'


def _tar(path, canary):
    with tarfile.open(path, 'w') as file:
        for name in ('storages', 'tensors', 'pickle'):
            data = pickle.dumps(touch(canary))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def _safetensors(path, header, data=b''):
    if isinstance(header, dict):
        header = json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(header)) + header + data)


def _calls(code):
    return lambda path, canary: archive(path, code(canary))


def _saved(**options):
    def write(path, canary):
        content = dict(state_dict={}, evil=touch(canary))
        torch.save(content, path, **options)

    return write


def _call(module, name, *args):
    """A call of ``module.name`` with texts."""
    names = f'c{module}\n{name}\n('.encode()
    return names + b''.join(map(text, args)) + b'tR'


_CODE = dict(
    zip=_saved(),
    zip4=_saved(pickle_protocol=4),
    legacy=_saved(_use_new_zipfile_serialization=False),
    tar=_tar,
    pickle=lambda path, canary: path.write_bytes(pickle.dumps(touch(canary))),
    script=script,
    eval=_calls(
        lambda canary: _call('builtins', 'eval', f'open({str(canary)!r},"w")')
    ),
    open=_calls(lambda canary: _call('io', 'open', str(canary), 'w')),
    # An allowed function of which something else is asked.
    getattr=_calls(
        lambda canary: b'c__builtin__\ngetattr\n(cnumpy\nndarray\n'
        + text('tofile')
        + b'tR('
        + text(str(canary))
        + b'tR'
    ),
    # torch._utils has functions that import and call.
    torch_utils=_calls(
        lambda canary: _call('torch._utils', '_import_dotted_name', 'os.x')
    ),
    torch_load=_calls(lambda canary: _call('torch', 'load', str(canary))),
    rebuild_type=_calls(
        lambda canary: b'ctorch._tensor\n_rebuild_from_type_v2\n'
        b'(cos\nsystem\nctorch\nTensor\n(' + text(f'touch {canary}') + b't}tR'
    ),
    # State that would replace a method or a class.
    build=_calls(
        lambda canary: b'ccollections\nOrderedDict\n)R}'
        + text('__class__')
        + b'cposix\nsystem\nsb'
    ),
    setstate=_calls(
        lambda canary: b'ctorch.nn.parameter\nParameter\n)\x81'
        + text('state')
        + b'b'
    ),
    # References that are not storages.
    persistent=_calls(
        lambda canary: b'(' + text('module') + text('os') + b'tQ'
    ),
    escaping=_calls(lambda canary: named(tensor(1, key='../../etc/passwd'))),
)  # fmt: skip


def _zip_bomb(path, canary):
    archive(
        path, named(tensor(1 << 24)), {'0': bytes(1 << 26)},
        zipfile.ZIP_DEFLATED,
    )  # fmt: skip


def _lie(code, **storages):
    return lambda path, canary: archive(path, code, storages)


_LIES = dict(
    storage=_lie(named(tensor(1 << 40))),
    short_storage=_lie(named(tensor(4)), **{'0': bytes(12)}),
    size=_lie(named(tensor(1, size=1 << 50)), **{'0': bytes(4)}),
    negative=_lie(named(tensor(1, size=-1)), **{'0': bytes(4)}),
    offset=_lie(named(tensor(1, offset=1 << 60)), **{'0': bytes(4)}),
    stride=_lie(named(tensor(2, size=2, stride=-9)), **{'0': bytes(8)}),
    # As many elements as wished, of one.
    expanded=_lie(named(tensor(1, size=1 << 40, stride=0)), **{'0': bytes(4)}),
    text=_lie(b'\x8d' + struct.pack('<Q', 1 << 60)),
    bytes=_lie(b'\x8e' + struct.pack('<Q', 1 << 40)),
    memo=_lie(b'N' + b'r\xff\xff\xff\xff' + b'j\xfe\xff\xff\xff'),
    allocate=_lie(b'c__builtin__\nbytearray\n(\x8a\x05\0\0\0\0\x7ftR'),
    array=_lie(
        b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85ctR'
        .replace(b'ctR', text('b') + b'tR')
        + b'(K\1\x8a\x06\0\0\0\0\0\x7f\x85cnumpy\ndtype\n(' + text('f8')
        + b'tR\x89C\1atb'
    ),
    laughs=_lie(
        b']q\0(' + b'N' * 9 + b'e'
        + b''.join(
            b'](' + b'h' + bytes([n]) * 1 + (b'h' + bytes([n])) * 9
            + b'eq' + bytes([n + 1])
            for n in range(20)
        )
    ),
    itself=_lie(b']q\0h\0a'),
    deep=_lie(b']' * 20_000 + b'a' * 19_999),
    deep_key=_lie(b'}' + b')' + b'\x85' * 20_000 + b'Ns'),
    containers=_lie(b'(' + b'}' * 500_000 + b'l'),
    bomb=_zip_bomb,
    header=lambda path, canary: path.write_bytes(
        struct.pack('<Q', 1 << 62) + b'{"a": 1}'
    ),
    offsets=lambda path, canary: _safetensors(
        path,
        dict(a=dict(dtype='F32', shape=[1 << 40], data_offsets=[0, 1 << 42])),
    ),
    deep_header=lambda path, canary: _safetensors(path, b'{"a":' * 20_000),
    huge_header=lambda path, canary: _safetensors(
        path, b'{"' + b'a' * 10_000_000 + b'": 1}'
    ),
)  # fmt: skip

_ODD = dict(
    folder=lambda path, canary: path.mkdir(),
    empty=lambda path, canary: path.write_bytes(b''),
    text=lambda path, canary: path.write_text('not a checkpoint ' * 40),
    json=lambda path, canary: path.write_text(json.dumps(dict(a=[1]))),
    page=lambda path, canary: path.write_text('<!DOCTYPE html>' * 40),
    zip_of_text=lambda path, canary: (
        zipfile.ZipFile(path, 'w').close() or archive(path, text('hello'))
    ),
    absent=lambda path, canary: None,
)

FOREIGN = {
    f'{kind}-{name}': write
    for kind, files in (('code', _CODE), ('lie', _LIES), ('odd', _ODD))
    for name, write in files.items()
}
