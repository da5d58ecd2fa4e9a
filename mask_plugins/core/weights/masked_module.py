# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Modules whose parameters count through a mask.

The instance changes its class to a subclass of its own: parameters keep their
names and objects, ``isinstance`` and the layer's own forward stay what they
are, and state-dict keys of the base are those of the stock layer. Only while a
forward pass reads it is ``module.weight`` the effective weight; at any other
time it is the parameter, so that initializers, loaders and optimizers see what
they expect.
"""

from contextlib import contextmanager
from functools import lru_cache
from typing import Dict, Iterator, Optional, Tuple

from torch import Tensor, nn

from .weight_mask import WeightMask

SUFFIX = '_mask'


class _Composed:
    """A class that is made at run time: pickle has to make it again."""

    def __reduce_ex__(self, protocol):
        if '_composed' not in type(self).__dict__:  # a class with a name
            return super().__reduce_ex__(protocol)
        names = masked_names(self)
        reading = isinstance(self, ReadingModule)
        made = (stock_class(self), names, reading)
        return _rebuild, made, self.__getstate__()

    def __getstate__(self):
        stock = getattr(super(), '__getstate__', None)  # Python >= 3.11
        state = dict(stock() if stock else self.__dict__)
        if '_effective' in state:  # of a forward pass, with its graph
            state['_effective'] = None
        return state


class MaskedModule(_Composed):
    """What is mixed into the class of a module that owns masked parameters."""

    _masked: Tuple[str, ...] = ()
    _effective: Optional[Dict[str, Tensor]] = None

    def forward(self, *args, **kwargs):
        """As the stock class, over the effective parameters."""
        if self._effective is not None:  # a reader of the weights opened it
            return super().forward(*args, **kwargs)
        self._effective = effective_parameters(self)
        try:
            return super().forward(*args, **kwargs)
        finally:
            self._effective = None


class ReadingModule(_Composed):
    """Mixed into a module that reads the weights of its children itself.

    Attention often does: ``F.linear(x, self.qkv.weight)``. The children's own
    forward, which would apply the mask, is then never called.
    """

    _reads: Tuple[str, ...]

    def forward(self, *args, **kwargs):
        """As the stock class, over the effective parameters of children."""
        children = [self.get_submodule(path) for path in self._reads]
        with held(*children):
            return super().forward(*args, **kwargs)


@contextmanager
def held(*modules: nn.Module) -> Iterator[None]:
    """Compute the effective parameters once for all that is done inside.

    Args:
        *modules (nn.Module): Masked modules; others are left alone.
    """
    opened = []
    try:
        for module in modules:
            if isinstance(module, MaskedModule) and module._effective is None:
                module._effective = effective_parameters(module)
                opened.append(module)
        yield
    finally:
        for module in opened:
            module._effective = None


@contextmanager
def unheld(*modules: nn.Module) -> Iterator[None]:
    """The opposite of :func:`held`: each forward computes for itself.

    Args:
        *modules (nn.Module): Masked modules; others are left alone.
    """
    closed = [
        (module, module._effective)
        for module in modules
        if isinstance(module, MaskedModule) and module._effective is not None
    ]
    try:
        for module, _ in closed:
            module._effective = None
        yield
    finally:
        for module, effective in closed:
            module._effective = effective


def effective_parameters(module: nn.Module) -> Dict[str, Tensor]:
    """Name of each masked parameter -> what it counts as now."""
    return {
        name: module._modules[name + SUFFIX](module._parameters[name])
        for name in module._masked
    }


def masked_names(module: nn.Module) -> Tuple[str, ...]:
    """Names of the masked parameters that this very module owns."""
    return getattr(module, '_masked', ())


def stock_class(module: nn.Module) -> type:
    """The class without the masking, however often it was mixed."""
    return getattr(type(module), '_stock', type(module))


def attach_mask(module: nn.Module, name: str, mask: WeightMask) -> None:
    """Put a mask on a parameter, in place.

    Args:
        module (nn.Module): Owns the parameter.
        name (str): Of the parameter, without dots.
        mask (WeightMask): Its mask; may be that of a tied weight elsewhere.

    Raises:
        TypeError: If the module was changed by another tool, so that its
            weight is no plain parameter any more.
        ValueError: If the parameter is masked already.
    """
    if name in masked_names(module):
        raise ValueError(
            f'{name} of {type(module).__name__} is masked already: merge or '
            'remove its mask first'
        )
    if not isinstance(module._parameters.get(name), nn.Parameter):
        raise TypeError(
            f'{name} of {type(module).__name__} is no plain parameter '
            '(parametrized, pruned, quantized or lazy?) and cannot be masked'
        )
    if name + SUFFIX in module._buffers or hasattr(module, name + SUFFIX):
        raise TypeError(
            f'{type(module).__name__} has an attribute {name}{SUFFIX}, of '
            'torch.nn.utils.prune perhaps: make its pruning permanent first'
        )
    names = (*masked_names(module), name)
    reading = isinstance(module, ReadingModule)
    module.__class__ = composed_class(stock_class(module), names, reading)
    place_mask(module, names, mask)


def place_mask(
    module: nn.Module, names: Tuple[str, ...], mask: WeightMask
) -> None:
    """Put the mask of the last of ``names`` beside its parameter."""
    module._masked = names
    # Present from the start: a compiled graph is guarded by that.
    module._effective = None
    module.add_module(names[-1] + SUFFIX, mask)


def detach_masks(module: nn.Module) -> Dict[str, WeightMask]:
    """Take the masks of a module off; its class is the stock one again.

    Returns:
        dict[str, WeightMask]: Name of the parameter -> its mask.
    """
    masks = {name: module._modules[name + SUFFIX] for name in module._masked}
    for name in masks:
        del module._modules[name + SUFFIX]
    reading = isinstance(module, ReadingModule)
    module.__class__ = composed_class(stock_class(module), (), reading)
    for name in ('_masked', '_effective'):
        module.__dict__.pop(name, None)
    return masks


def make_reader(module: nn.Module, paths: Tuple[str, ...]) -> None:
    """Have a module see the effective weights of its children, in place.

    Args:
        module (nn.Module): Reads weights of its children.
        paths (tuple[str]): Dotted paths of these children.
    """
    names = masked_names(module)
    module.__class__ = composed_class(stock_class(module), names, True)
    module._reads = paths


def unmake_reader(module: nn.Module) -> None:
    """Undo :func:`make_reader`."""
    names = masked_names(module)
    module.__class__ = composed_class(stock_class(module), names, False)
    del module._reads


@lru_cache(maxsize=None)
def composed_class(stock: type, names: Tuple[str, ...], reading: bool) -> type:
    """``stock`` with masked parameters, and as a reader of its children.

    Args:
        stock (type): The class of the layer.
        names (tuple[str]): Its masked parameters.
        reading (bool): Whether it reads weights of its children.

    Returns:
        type: A subclass, or ``stock`` itself if there is nothing to add.
    """
    mixins = (ReadingModule,) * reading + (MaskedModule,) * bool(names)
    if not mixins:
        return stock
    # mmengine's initializers match names of the direct bases: those of the
    # stock class are repeated, so that they match what they did.
    bases = tuple(base for base in stock.__bases__ if base is not object)
    body = {name: property(_reader(name)) for name in names}
    body.update(
        _stock=stock,
        _composed=True,
        __module__=__name__,
        __doc__=stock.__doc__,
    )
    kind = 'Masked' if names else 'Reading'
    return type(f'{kind}{stock.__name__}', (*mixins, stock, *bases), body)


def _reader(name: str):
    def read(self) -> Tensor:
        if self._effective is not None:
            return self._effective[name]
        if name not in self._parameters:  # not yet, or deleted
            raise AttributeError(name)
        return self._parameters[name]

    return read


def _rebuild(stock: type, names: Tuple[str, ...], reading: bool) -> nn.Module:
    cls = composed_class(stock, names, reading)
    return cls.__new__(cls)
