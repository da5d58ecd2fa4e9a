# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Parse a pickle into records, without importing or calling anything.

A pickle is a program for a stack machine. Python's own machine imports the
names in it and calls them, which is how a file runs code. This one knows
nothing but data: a name stays a :class:`Global`, a call of it becomes a
:class:`Call` that nobody makes. What a call means is decided by the reader
(:mod:`mask_plugins.utils.plain_values`), by name, for the few that it knows.
"""

import pickletools
import struct
from typing import Any, Callable, Dict, List, NamedTuple

_OPCODES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_CONSTANTS = dict(NONE=None, NEWTRUE=True, NEWFALSE=False, EMPTY_TUPLE=())
_CONTAINERS = dict(EMPTY_LIST=list, EMPTY_DICT=lambda: Pairs())
_NUMBERS = dict(BININT='<i', BININT1='<B', BININT2='<H', BINFLOAT='>d')
_TEXTS = dict(SHORT_BINUNICODE='<B', BINUNICODE='<I', BINUNICODE8='<Q')
_BYTES = dict(
    SHORT_BINSTRING='<B', SHORT_BINBYTES='<B', BINBYTES='<I', BINBYTES8='<Q'
)
_GET = dict(BINGET='<B', LONG_BINGET='<I')
_PUT = dict(BINPUT='<B', LONG_BINPUT='<I')
_TUPLES = dict(TUPLE1=1, TUPLE2=2, TUPLE3=3)
_SKIPPED = dict(PROTO=1, FRAME=8)
_NAME = 1000
# Python 2 and numpy 1 have other names for the same.
_MODULES = {
    '__builtin__': 'builtins',
    'numpy.core.multiarray': 'numpy.multiarray',
    'numpy._core.multiarray': 'numpy.multiarray',
}


class Global(NamedTuple):
    """A name in a pickle, such as ``collections.OrderedDict``."""

    name: str


class Pairs(list):
    """A dict of a pickle, as (key, value): nothing is hashed yet."""


class Call:
    """A call or an object of a pickle, which is not made.

    Args:
        name (str): Full name of the function or class.
        args (tuple): Its arguments.
    """

    __slots__ = ('args', 'items', 'name', 'pairs', 'state')

    def __init__(self, name: str, args: Any) -> None:
        self.name = name
        self.args = args
        self.state: Any = None
        self.items: List[Any] = []
        self.pairs = Pairs()


class Budget:
    """Memory that reading a file may take: so much per byte of the file.

    Args:
        size (int): Size of the file in bytes.
    """

    def __init__(self, size: int) -> None:
        self.left = (16 << 20) + 16 * size

    def spend(self, count: int) -> None:
        """Take ``count`` bytes.

        Raises:
            ValueError: If there are not so many left.
        """
        self.left -= count
        if self.left < 0:
            raise ValueError('it asks for more memory than its size justifies')


class InertUnpickler:
    """The stack machine.

    Args:
        data (bytes): What the pickle lies in.
        known (Callable): From the name of a global to whether it is one of
            the allowed.
        budget (Budget): Memory that may be taken.
        start (int): Where the pickle begins. Defaults to 0.

    Attributes:
        position (int): Where the next byte is read.
        storages (list[Call]): What the pickle refers to as outside of it.

    Examples:
        >>> class Evil:
        ...     def __reduce__(self):
        ...         return print, ('it ran',)
        >>> import pickle
        >>> evil = pickle.dumps(Evil())
        >>> InertUnpickler(evil, lambda name: False, Budget(0)).load()
        Traceback (most recent call last):
        ...
        ValueError: it holds builtins.print, which is not data
    """

    def __init__(
        self,
        data: bytes,
        known: Callable[[str], bool],
        budget: Budget,
        start: int = 0,
    ) -> None:
        self.data = data
        self.position = start
        self.storages: List[Call] = []
        self._known = known
        self._budget = budget

    def load(self) -> Any:
        """Parse one pickle.

        Returns:
            Any: Lists, tuples, :class:`Pairs`, :class:`Call`, numbers, text.

        Raises:
            ValueError: If it is damaged, or names what is not known.
        """
        self._stack: List[Any] = []
        self._marks: List[List[Any]] = []
        self._memo: Dict[int, Any] = {}
        while True:
            code = self.take(1)[0]
            name = _OPCODES.get(code, f'{code:#x}')
            if name == 'STOP':
                return self._stack.pop()
            self._step(name)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise ValueError('it ends too early')
        self.position, start = end, self.position
        return self.data[start:end]

    def _step(self, name: str) -> None:
        push = self._stack.append
        if name in _CONSTANTS:
            push(_CONSTANTS[name])
        elif name in _NUMBERS:
            push(self._number(_NUMBERS[name]))
        elif name in _TEXTS:
            text = self.take(self._number(_TEXTS[name]))
            push(str(text, 'utf-8', 'surrogatepass'))
        elif name in _BYTES:
            push(self.take(self._number(_BYTES[name])))
        elif name in _GET:
            push(self._memo[self._number(_GET[name])])
        elif name in _SKIPPED:
            self.take(_SKIPPED[name])
        elif name == 'LONG1':
            number = self.take(self._number('<B'))
            push(int.from_bytes(number, 'little', signed=True))
        else:
            self._budget.spend(64)
            self._make(name)

    def _make(self, name: str) -> None:
        stack = self._stack
        if name in _PUT:
            self._memo[self._number(_PUT[name])] = stack[-1]
        elif name == 'MEMOIZE':
            self._memo[len(self._memo)] = stack[-1]
        elif name in _CONTAINERS:
            stack.append(_CONTAINERS[name]())
        elif name in ('EMPTY_SET', 'FROZENSET'):
            made = Call('builtins.set', ())
            made.items = [] if name == 'EMPTY_SET' else self._pop_mark()
            self._stack.append(made)
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = tuple(stack[-count:])
            if len(items) != count:
                raise ValueError('its stack is too short')
            stack[-count:] = [items]
        elif name == 'MARK':
            self._marks.append(stack)
            self._stack = []
        elif name == 'TUPLE':
            items = tuple(self._pop_mark())
            self._stack.append(items)
        elif name == 'GLOBAL':
            self._push_global(self._line(), self._line())
        elif name == 'STACK_GLOBAL':
            name = stack.pop()
            self._push_global(stack.pop(), name)
        elif name in ('REDUCE', 'NEWOBJ'):
            args, function = stack.pop(), stack.pop()
            if type(function) is not Global or type(args) is not tuple:
                raise ValueError('it calls what is not a function')
            stack.append(Call(function.name, args))
        elif name == 'BINPERSID':
            stack.append(Call('storage', stack.pop()))
            self.storages.append(stack[-1])
        elif name == 'BUILD':
            state = stack.pop()
            self._target(Call).state = state
        elif name in ('APPEND', 'APPENDS', 'ADDITEMS'):
            new = [stack.pop()] if name == 'APPEND' else self._pop_mark()
            target = self._target(Call, list)
            (target if type(target) is list else target.items).extend(new)
        elif name in ('SETITEM', 'SETITEMS'):
            new = self._pop_mark() if name == 'SETITEMS' else stack[-2:]
            if name == 'SETITEM':
                del stack[-2:]
            target = self._target(Call, Pairs)
            pairs = target if type(target) is Pairs else target.pairs
            if len(new) % 2:
                raise ValueError('a key has no value')
            pairs.extend(zip(new[::2], new[1::2]))
        else:
            raise ValueError(
                f'it has the instruction {name}, which no data has'
            )

    def _target(self, *kinds: type) -> Any:
        target = self._stack[-1]
        if type(target) not in kinds:
            raise ValueError(f'it changes a {type(target).__name__}')
        return target

    def _pop_mark(self) -> List[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _push_global(self, module: str, name: str) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError('a name in it is not text')
        if len(module) + len(name) > _NAME:  # the same may be asked often
            raise ValueError('a name in it is too long')
        full = f'{_MODULES.get(module, module)}.{name}'
        if not self._known(full):
            raise ValueError(f'it holds {full[:200]}, which is not data')
        self._stack.append(Global(full))

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self.data.find(b'\n', self.position, self.position + 1000)
        return self.take(end + 1 - self.position)[:-1].decode()
