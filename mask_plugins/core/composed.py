# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The one mechanism that changes the class of an instance.

``compose(module, Mixin)`` gives a module a class made of a :class:`Composed`
mix-in and of the class that it has: parameters, names in the state dict and
``isinstance`` stay what they are. Classes are cached, so that two instances of
one kind have one class; instances are picklable, can be copied, and are the
stock class again after ``decompose(module, Mixin)``.
"""

from functools import lru_cache
from typing import Any, Dict, Hashable, Tuple

from torch import nn

# A mix-in and its parameter, such as the names of the masked parameters.
Layer = Tuple[type, Hashable]


class Composed:
    """Base of whatever is mixed into the class of an instance.

    ``order`` says which mix-in of several runs first (the highest is the
    outermost); ``transient`` names attributes of an instance that belong to
    one pass: copies and pickles have the default of the class in their place.
    """

    order: int = 0
    transient: Tuple[str, ...] = ()

    @classmethod
    def class_body(cls, key: Hashable) -> Dict[str, Any]:
        """What the composed class has besides the mix-in's own attributes.

        Args:
            key (Hashable): The parameter that :func:`compose` was given.

        Returns:
            dict: Name of an attribute, such as a property, -> the attribute.
        """
        return {}

    def __getstate__(self) -> Dict[str, Any]:
        stock = getattr(super(), '__getstate__', None)  # Python >= 3.11
        state = dict(stock() if stock else self.__dict__)
        for base in type(self).__mro__:
            for name in base.__dict__.get('transient', ()):
                if name in state:
                    state[name] = getattr(type(self), name, None)
        return state

    def __reduce_ex__(self, protocol: int):
        made = (stock_class(self), layers_of(self))
        if not made[1]:  # a class with a name
            return super().__reduce_ex__(protocol)
        return _rebuild, made, self.__getstate__()


def compose(module: nn.Module, mixin: type, key: Hashable = ()) -> nn.Module:
    """Mix a class into that of a module, in place.

    Args:
        module (nn.Module): The instance.
        mixin (type): A subclass of :class:`Composed`.
        key (Hashable): Passed to ``mixin.class_body``; replaces the key that
            an earlier call gave to the same mix-in. Defaults to ``()``.

    Returns:
        nn.Module: The same module.

    Examples:
        >>> from torch import nn
        >>> class Loud(Composed):
        ...     def extra_repr(self):
        ...         return super().extra_repr().upper()
        >>> layer = compose(nn.Linear(2, 3), Loud)
        >>> layer
        LoudLinear(IN_FEATURES=2, OUT_FEATURES=3, BIAS=TRUE)
        >>> isinstance(layer, nn.Linear), type(decompose(layer, Loud)).__name__
        (True, 'Linear')
    """
    decompose(module, mixin)
    layers = [*layers_of(module), (mixin, key)]
    # Python's sort is stable: of equal orders the last one is outermost.
    layers.sort(key=lambda layer: layer[0].order)
    module.__class__ = composed_class(stock_class(module), tuple(layers))
    return module


def decompose(module: nn.Module, mixin: type) -> nn.Module:
    """Undo :func:`compose` of this mix-in, in place.

    Args:
        module (nn.Module): The instance; left alone if it has no such mix-in.
        mixin (type): A subclass of :class:`Composed`.

    Returns:
        nn.Module: The same module, of its stock class if nothing else is
        mixed in.
    """
    layers = tuple(x for x in layers_of(module) if x[0] is not mixin)
    stock = stock_class(module)
    for base in stock.__mro__:
        # A class with a name on top of a composed one: SoftMaskConv2d.
        if any(x[0] is mixin for x in base.__dict__.get('_layers', ())):
            stock = base.__dict__['_stock']
            break
    if (stock, layers) != (stock_class(module), layers_of(module)):
        module.__class__ = composed_class(stock, layers)
    return module


def layers_of(module: nn.Module) -> Tuple[Layer, ...]:
    """(mix-in, key) of all that :func:`compose` added, innermost first."""
    return type(module).__dict__.get('_layers', ())


def stock_class(module: nn.Module) -> type:
    """The class of a module without what :func:`compose` added."""
    return type(module).__dict__.get('_stock', type(module))


@lru_cache(maxsize=None)
def composed_class(stock: type, layers: Tuple[Layer, ...]) -> type:
    """``stock`` with all layers mixed in; cached.

    Args:
        stock (type): A class of modules.
        layers (tuple): (mix-in, key) each, innermost first.

    Returns:
        type: A subclass, or ``stock`` itself if there are no layers.
    """
    if not layers:
        return stock
    mixins = tuple(mixin for mixin, _ in reversed(layers))
    # mmengine's initializers match names of the direct bases: those of the
    # stock class are repeated, so that they match what they did.
    bases = tuple(base for base in stock.__bases__ if base is not object)
    body: Dict[str, Any] = {}
    for mixin, key in layers:
        body.update(mixin.class_body(key))
    body.update(
        _stock=stock,
        _layers=layers,
        __module__=stock.__module__,
        __doc__=stock.__doc__,
    )
    prefix = mixins[0].__name__
    for ending in ('Mixin', 'Module'):
        prefix = prefix[: -len(ending)] if prefix.endswith(ending) else prefix
    return type(f'{prefix}{stock.__name__}', (*mixins, stock, *bases), body)


def _rebuild(stock: type, layers: Tuple[Layer, ...]) -> nn.Module:
    cls = composed_class(stock, layers)
    return cls.__new__(cls)
