# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Turn what is in a checkpoint into what ``weights_only=True`` reads."""

from collections import OrderedDict, deque
from pathlib import Path, PurePath
from typing import Any, Dict, List, Optional, Set, Tuple

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

# Under this key a checkpoint lists what was converted: (path, kind, detail).
KEY = 'mask_plugins_plain'

_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes),
    *(torch.Size, torch.dtype, torch.device),
)
_DROP = object()

KeyPath = Tuple[Any, ...]
Conversion = Tuple[KeyPath, str, Any]


def to_plain(checkpoint: Dict[str, Any]) -> List[str]:
    """Make a checkpoint loadable with ``torch.load(weights_only=True)``.

    Log histories, numpy arrays and scalars, sets, paths and the like become
    their natural plain counterpart *in place*: an array is a tensor, a numpy
    scalar a number. So a tool that knows nothing of this module reads a
    checkpoint as it is. A table under :data:`KEY` says what to turn back.
    Only the outermost dict is changed; all containers in it are rebuilt,
    since they may be live (``MessageHub.state_dict`` returns its own).

    Args:
        checkpoint (dict): The checkpoint, changed in place.

    Returns:
        list[str]: Dotted key paths of what had to be dropped, each with its
        type. An item of a list or tuple becomes None instead.

    Examples:
        >>> checkpoint = dict(a=np.ones(2), b=lambda: 0)
        >>> to_plain(checkpoint), checkpoint['a']
        (['b (function)'], tensor([1., 1.], dtype=torch.float64))
    """
    encoder = _Encoder()
    plain = encoder.visit(checkpoint, ())
    checkpoint.clear()
    checkpoint.update(plain)
    if encoder.converted:
        checkpoint[KEY] = encoder.converted
    return encoder.dropped


def from_plain(checkpoint: Dict[str, Any]) -> None:
    """Undo :func:`to_plain`; a checkpoint of another writer stays as it is.

    Args:
        checkpoint (dict): What was loaded, changed in place. Parts of it may
            have been removed.

    Examples:
        >>> checkpoint = dict(a=np.ones(2))
        >>> dropped = to_plain(checkpoint)
        >>> from_plain(checkpoint)
        >>> checkpoint
        {'a': array([1., 1.])}
    """
    # What is inside another comes before it.
    for path, kind, detail in checkpoint.pop(KEY, ()):
        node: Any = checkpoint
        try:
            for key in path[:-1]:
                node = node[key]
            value = node[path[-1]]
        except (LookupError, TypeError):
            continue  # this part has been removed
        node[path[-1]] = _convert(value, kind, detail)


def equal(a: Any, b: Any) -> bool:
    """Equality through containers and arrays.

    Args:
        a (Any): What :func:`from_plain` has restored, say.
        b (Any): What it is compared to.

    Examples:
        >>> equal(dict(a=np.ones(2)), dict(a=np.ones(2))), equal(1, 2)
        (True, False)
    """
    try:
        np.testing.assert_equal(a, b)
    except AssertionError:
        return False
    return True


class _Encoder:
    """Rebuild nested containers and note what was converted on the way."""

    def __init__(self) -> None:
        self.converted: List[Conversion] = []
        self.dropped: List[str] = []
        self._open: Set[int] = set()

    def visit(self, value: Any, path: KeyPath) -> Any:
        """The plain counterpart of ``value``, or ``_DROP``."""
        if type(value) in _PLAIN or isinstance(value, torch.Tensor):
            return value
        if isinstance(value, np.generic):
            return self._scalar(value, path)
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, PurePath):
            return self._note(str(value), path, 'path')
        if id(value) in self._open:
            return self._drop(value, path)
        self._open.add(id(value))
        try:
            return self._container(value, path)
        finally:
            self._open.discard(id(value))

    def _container(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, HistoryBuffer):
            log, count = value.data
            state = dict(log=log, count=count, max_length=value.max_length)
            return self._note(self._dict(state, path), path, 'history')
        if isinstance(value, dict):
            plain = self._dict(value, path)
            if isinstance(value, ConfigDict):
                return self._note(plain, path, 'config')
            return plain
        if isinstance(value, list):
            return self._items(value, path)
        if isinstance(value, tuple):  # a namedtuple becomes a tuple
            before = len(self.converted)
            items = self._items(value, path)
            if len(self.converted) == before:
                return tuple(items)
            return self._note(items, path, 'tuple')
        if isinstance(value, (set, frozenset, deque)):
            kind = type(value).__name__
            detail = value.maxlen if isinstance(value, deque) else None
            return self._note(self._items(value, path), path, kind, detail)
        # An Enum or another class with a meaning of its own is not a number.
        return self._drop(value, path)

    def _dict(self, value: Dict[Any, Any], path: KeyPath) -> Dict[Any, Any]:
        plain: Dict[Any, Any] = {}
        if isinstance(value, OrderedDict):
            plain = OrderedDict()
            # The versions of modules, in a state dict's `_metadata`.
            plain.__dict__.update(value.__dict__)
        for key, item in value.items():
            if isinstance(key, np.generic):
                key = key.item()
            if not _is_key(key):
                self._drop(key, (*path, key))
                continue
            item = self.visit(item, (*path, key))
            if item is not _DROP:
                plain[key] = item
        return plain

    def _items(self, value: Any, path: KeyPath) -> List[Any]:
        items = [self.visit(x, (*path, i)) for i, x in enumerate(value)]
        return [None if item is _DROP else item for item in items]

    def _scalar(self, value: np.generic, path: KeyPath) -> Any:
        item = value.item()
        if type(item) not in _PLAIN:
            return self._drop(value, path)
        return self._note(item, path, 'scalar', value.dtype.str)

    def _array(self, value: np.ndarray, path: KeyPath) -> Any:
        dtype = value.dtype
        if dtype.kind in 'US':
            return self._note(value.tolist(), path, 'array', dtype.str)
        try:
            # Torch wants the byte order of the machine and no stride < 0.
            native = np.array(value, dtype=dtype.newbyteorder('='), order='C')
            tensor = torch.from_numpy(native)
        except TypeError:
            return self._drop(value, path)
        return self._note(tensor, path, 'array', dtype.str)

    def _note(self, plain: Any, path: KeyPath, kind: str, detail=None) -> Any:
        self.converted.append((path, kind, detail))
        return plain

    def _drop(self, value: Any, path: KeyPath) -> Any:
        name = '.'.join(str(key) for key in path)
        self.dropped.append(f'{name} ({type(value).__name__})')
        return _DROP


def _is_key(key: Any) -> bool:
    if isinstance(key, tuple):
        return type(key) is tuple and all(_is_key(part) for part in key)
    return type(key) in _PLAIN


def _convert(value: Any, kind: str, detail: Optional[Any]) -> Any:
    if kind == 'array':
        return _array_of(value, detail)
    if kind == 'scalar':
        return _array_of(value, detail)[()]
    if not isinstance(value, (dict, list, str)):  # a tensor would be a loop
        raise ValueError(f'a {type(value).__name__} is no {kind!r:.40}')
    if kind == 'history':
        return HistoryBuffer(value['log'], value['count'], value['max_length'])
    if kind == 'deque':
        return deque(value, detail)
    kinds = dict(
        path=Path, config=ConfigDict, set=set, frozenset=frozenset, tuple=tuple
    )
    return kinds[kind](value) if kind in kinds else value


def _array_of(value: Any, detail: Any) -> np.ndarray:
    """An array of the dtype that a file names, no larger than its data."""
    dtype = np.dtype(detail)
    most = 1 << 26  # a dtype of text says how long each is
    if isinstance(value, torch.Tensor):
        most = value.untyped_storage().nbytes()
        value = value.cpu().numpy()
    size = dtype.itemsize * np.size(value)
    if dtype.kind not in 'biufcSUmM' or size > most:
        raise ValueError(f'{detail!r:.40} is not the dtype of a plain array')
    return np.array(value, dtype=dtype)
