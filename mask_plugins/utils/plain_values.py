# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Make plain values and tensors of the records of a pickle."""

import re
from collections import Counter, OrderedDict
from pathlib import PurePosixPath
from typing import Any, Callable, Dict, Tuple

import numpy as np
import torch
from torch import Tensor

from .inert_pickle import Budget, Call, Global, Pairs
from .storages import describe_storage, storage_dtype, torch_dtype

_SCALARS = (type(None), bool, int, float, complex, str, bytes)
# Archives of torch.jit have classes of their own under these.
_SCRIPT = ('__torch__.', 'torch.jit._pickle.')
_HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
# Named as arguments of others only.
_NAMES = {
    'numpy.ndarray',
    'torch.Tensor',
    'torch.nn.parameter.Buffer',
    'builtins.dict',
    'builtins.float',
    'builtins.getattr',  # the statistics of a HistoryBuffer
    'builtins.int',
    'builtins.list',
}
_DTYPE_CODE = re.compile(r'\?|[biufc]\d{1,2}|[SU][1-9]\d{0,8}')
_DEPTH = 100
_DIMENSIONS = 64
# As many keys of a dict may have the same hash.
_EQUAL_HASHES = 100


def is_known(name: str) -> bool:
    """Whether a name may stand in a file.

    Args:
        name (str): Full name of a function, class or dtype.

    Examples:
        >>> is_known('torch._utils._rebuild_tensor_v2'), is_known('os.system')
        (True, False)
    """
    return (
        name in _BUILDERS
        or name in _NAMES
        or name.startswith((*_SCRIPT, f'{_HISTORY}.'))
        or storage_dtype(name) is not None
        or torch_dtype(name) is not None
    )


class PlainValues:
    """Convert records; each container is made new, each tensor once.

    Args:
        read_storage (Callable): From the key of a storage and its size in
            bytes to a writable buffer.
        budget (Budget): Memory that may be taken.
    """

    def __init__(
        self, read_storage: Callable[[str, int], bytearray], budget: Budget
    ) -> None:
        self._read_storage = read_storage
        self._budget = budget
        self._buffers: Dict[str, bytearray] = {}
        self._tensors: Dict[int, Tuple[Call, Tensor]] = {}
        self._depth = 0

    def convert(self, value: Any) -> Any:
        """The plain counterpart of a record.

        Raises:
            ValueError: If there is none, or it is nested without end.
        """
        kind = type(value)
        if kind in _SCALARS:
            return value
        # A shared container is made again each time: what is small in a file
        # can be large, and what holds itself has no end.
        self._budget.spend(_size(value))
        self._depth += 1
        if self._depth > _DEPTH:
            raise ValueError('it is nested too deeply, or holds itself')
        try:
            if kind in (list, tuple):
                return kind(map(self.convert, value))
            if kind is Pairs:
                return self._dict(value, {})
            if kind is Call and value.name in _BUILDERS:
                return _BUILDERS[value.name](self, value)
            if kind is Call and value.name.startswith('__torch__.'):
                return self._script(value)
            dtype = torch_dtype(value.name) if kind is Global else None
            if dtype is not None:
                return dtype
            raise ValueError(f'it holds {value.name}, which is not data')
        finally:
            self._depth -= 1

    # ----------------------------------------------------------- containers
    def _dict(self, pairs: Pairs, into: dict) -> dict:
        hashes: Counter = Counter()
        for key, value in pairs:
            into[self._key(key, hashes)] = self.convert(value)
        return into

    def _key(self, record: Any, hashes: Counter) -> Any:
        key = self.convert(record)
        parts = key if isinstance(key, tuple) else [key]
        if not all(isinstance(part, _SCALARS) for part in parts):
            raise ValueError(f'a key in it is a {type(key).__name__}')
        hashes[hash(key)] += 1
        if hashes[hash(key)] > _EQUAL_HASHES:  # it would take for ever
            raise ValueError('its keys are made to collide')
        return key

    def _mapping(self, call: Call) -> dict:
        ordered = call.name == 'collections.OrderedDict'
        into = OrderedDict() if ordered else {}
        for given in call.args:
            if type(given) in (list, Pairs):  # a list of pairs
                self._budget.spend(64 * len(given))
                self._dict(map(_pair, given), into)
        self._dict(call.pairs, into)
        for key, value in call.state if type(call.state) is Pairs else ():
            if ordered and key == '_metadata':
                # Of a state dict: the versions of modules.
                into._metadata = self.convert(value)
        return into

    def _state(self, call: Call) -> Any:
        return self.convert(call.state)

    def _history(self, call: Call) -> dict:
        # Its statistics are methods, which a new one has by itself.
        kept = [(k, v) for k, v in call.state if k != 'statistics_methods']
        return self._dict(Pairs(kept), {})

    def _first(self, call: Call) -> Any:
        return self.convert(call.args[0])

    def _list(self, call: Call) -> list:
        return [*map(self.convert, self._items(call))]

    def _set(self, call: Call) -> set:
        hashes: Counter = Counter()
        return {self._key(item, hashes) for item in self._items(call)}

    def _items(self, call: Call) -> list:
        first = call.args[0] if call.args else ()
        if type(first) not in (list, tuple):
            raise ValueError(f'it holds a {call.name} of what is not a list')
        self._budget.spend(64 * len(first))
        return [*first, *call.items]

    def _nothing(self, call: Call) -> None:
        return None

    def _bytes(self, call: Call) -> bytes:
        values = [self.convert(value) for value in call.args]
        if len(values) == 2 and type(values[0]) is str:
            if values[1] not in ('latin1', 'latin-1'):
                raise ValueError(f'it holds text in the code {values[1]!r}')
            self._budget.spend(len(values[0]))
            return values[0].encode('latin1')
        if values and (len(values) > 1 or type(values[0]) is not bytes):
            raise ValueError('it holds bytes of what is not bytes')
        return values[0] if values else b''

    def _plain_class(self, call: Call) -> Any:
        kinds = {
            'builtins.complex': complex,
            'torch.Size': torch.Size,
            'torch.device': torch.device,
        }
        return kinds[call.name](*map(self.convert, call.args))

    def _path(self, call: Call) -> str:
        parts = [str(self.convert(part)) for part in call.args]
        self._budget.spend(16 * sum(map(len, parts)))
        return str(PurePosixPath(*parts))

    # ---------------------------------------------------------------- numpy
    def _array_dtype(self, call: Call) -> np.dtype:
        if call.name != 'numpy.dtype':
            raise ValueError('an array in it has no dtype')
        code = self.convert(call.args[0])
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise ValueError(f'it holds an array of {code!r}')
        order = call.state[1] if call.state else '='
        return np.dtype(code).newbyteorder(order)

    def _array(self, call: Call) -> np.ndarray:
        _, shape, dtype, fortran, data = call.state
        data = memoryview(self.convert(data))
        self._budget.spend(data.nbytes)
        order = 'F' if fortran else 'C'
        dtype = self._array_dtype(dtype)
        # Raises if there are too few bytes.
        return np.ndarray(shape, dtype, data, order=order).copy(order)

    def _array_scalar(self, call: Call) -> Any:
        dtype, data = call.args
        data = self.convert(data)
        self._budget.spend(4 * len(data))
        return np.frombuffer(data, self._array_dtype(dtype), 1)[0].item()

    # -------------------------------------------------------------- tensors
    def _tensor(self, call: Call) -> Tensor:
        if id(call) not in self._tensors:
            # With the record, so that no other gets its id.
            self._tensors[id(call)] = call, self._make_tensor(call)
        return self._tensors[id(call)][1]

    def _make_tensor(self, call: Call) -> Tensor:
        storage, offset, size, stride, *more = call.args
        dtype, raw = self._storage(storage)
        if call.name.endswith('_v3'):
            dtype = self.convert(more[2])
        flat = torch.empty(0, dtype=dtype)
        if raw:
            flat = torch.frombuffer(raw, dtype=dtype)
        numbers = (offset, *size, *stride)
        if not len(size) == len(stride) <= _DIMENSIONS or not all(
            type(number) is int and 0 <= number < 2**63 for number in numbers
        ):
            raise ValueError('the shape of a tensor in it is damaged')
        last, count = offset, 1
        for length, step in zip(size, stride):
            count *= length
            last += (length - 1) * step
        if count and last >= len(flat):
            raise ValueError('a tensor in it is larger than its data')
        self._budget.spend(512 + count * flat.element_size())
        tensor = torch.empty(0, dtype=dtype)
        return tensor.set_(flat.untyped_storage(), offset, size, stride)

    def _storage(self, call: Call) -> Tuple[torch.dtype, bytearray]:
        dtype, key, nbytes = describe_storage(call)
        if key not in self._buffers:
            self._budget.spend(nbytes)
            self._buffers[key] = self._read_storage(key, nbytes)
        if len(self._buffers[key]) != nbytes:
            raise ValueError('the data of a tensor in it has another length')
        return dtype, self._buffers[key]

    def _typed(self, call: Call) -> Any:
        """A parameter or buffer with attributes: its tensor."""
        function, _, args = call.args[:3]
        if not _REBUILD.fullmatch(function.name):
            raise ValueError(f'it holds {function.name} of a tensor')
        return self.convert(Call(function.name, args))

    def _script(self, call: Call) -> Dict[str, Tensor]:
        """The tensors of a module of torch.jit, by their path."""
        weights: Dict[str, Tensor] = {}
        for key, value in call.state if type(call.state) is Pairs else ():
            if type(value) is not Call or type(key) is not str:
                continue
            if value.name.startswith('__torch__.'):
                inner = self.convert(value)
                lengths = sum(map(len, inner)) + len(key) * len(inner)
                self._budget.spend(64 * len(inner) + 4 * lengths)
                weights.update({f'{key}.{k}': v for k, v in inner.items()})
            elif _REBUILD.fullmatch(value.name):
                weights[key] = self.convert(value)
        return weights


def _size(record: Any) -> int:
    """Memory that a container takes, without what is in it."""
    if type(record) is Call:
        parts = (record.args, record.items, record.pairs, record.state)
        return 64 + sum(map(_size, filter(_is_sized, parts)))
    each = 48 if type(record) is Pairs else 8
    return 64 + each * len(record) if _is_sized(record) else 64


def _is_sized(record: Any) -> bool:
    return type(record) in (list, tuple, Pairs)


def _pair(record: Any) -> tuple:
    if type(record) not in (list, tuple) or len(record) != 2:
        raise ValueError('it holds a dict of what is not pairs')
    return tuple(record)


_REBUILD = re.compile(r'torch\._utils\._rebuild_(tensor(_v[23])?|parameter)')
_BUILDERS = {
    'torch._utils._rebuild_tensor': PlainValues._tensor,
    'torch._utils._rebuild_tensor_v2': PlainValues._tensor,
    'torch._utils._rebuild_tensor_v3': PlainValues._tensor,
    'torch._utils._rebuild_parameter': PlainValues._first,
    'torch._utils._rebuild_parameter_with_state': PlainValues._first,
    'torch._tensor._rebuild_from_type_v2': PlainValues._typed,
    'torch.nn.parameter.Parameter': PlainValues._first,
    'torch.Size': PlainValues._plain_class,
    'torch.device': PlainValues._plain_class,
    'collections.OrderedDict': PlainValues._mapping,
    'collections.defaultdict': PlainValues._mapping,
    'collections.Counter': PlainValues._mapping,
    'collections.deque': PlainValues._list,
    'builtins.set': PlainValues._set,
    'builtins.frozenset': PlainValues._set,
    'builtins.complex': PlainValues._plain_class,
    'builtins.bytes': PlainValues._bytes,
    'builtins.bytearray': PlainValues._bytes,
    '_codecs.encode': PlainValues._bytes,
    'pathlib.PosixPath': PlainValues._path,
    'pathlib.PurePosixPath': PlainValues._path,
    'pathlib.WindowsPath': PlainValues._path,
    'numpy.dtype': PlainValues._nothing,
    'numpy.multiarray._reconstruct': PlainValues._array,
    'numpy.multiarray.scalar': PlainValues._array_scalar,
    # What mmengine, SimMIM (yacs) and DeiT keep next to the weights.
    'addict.addict.Dict': PlainValues._mapping,
    'argparse.Namespace': PlainValues._state,
    'mmengine.config.config.ConfigDict': PlainValues._mapping,
    _HISTORY: PlainValues._history,
    'yacs.config.CfgNode': PlainValues._mapping,
}
