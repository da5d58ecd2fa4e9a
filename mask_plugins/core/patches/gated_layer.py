# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A layer that computes active patches, in sparse inference and training."""

from functools import lru_cache
from typing import Any, Optional, Tuple, Union

from torch import Tensor, nn

from .chain import Chain
from .execution import run_streams
from .gates import Gate, build_gate
from .mask_mode import MaskMode, compose, upsample_patches
from .tile_plan import TilePlan

REUSES = ('output', 'input')
HIDDEN = ('cache', 'recompute')


class GatedLayer(nn.Module):
    """A mix-in: with a state bound, compute active patches, else all.

    A class is composed of it and of the stock class, so that names of
    parameters stay what they were; the gate's are added. Unbound, or in a
    running mode that bypasses gates, it is the stock layer, bit for bit.
    """

    gate: Gate
    _binding: Any = None
    _name: str = ''
    _chain: Optional[Tuple[Tuple[int, ...], Chain]] = None

    def init_gate(
        self,
        gate,
        channels: Optional[int] = None,
        reuse: str = 'output',
        break_even: Union[str, float] = 'auto',
        hidden: str = 'cache',
    ) -> None:
        """Give the layer its gate; called once.

        Args:
            gate (str | dict | Gate): See :func:`build_gate`.
            channels (int, optional): Of the input, for learned gates.
            reuse (str): ``'output'``: active patches are computed from the
                whole current input, others keep their output; exact if every
                changed window is active, and fastest. ``'input'``: inputs of
                skipped patches are held, as in PASS; equal to the dense
                layer over the composed input for any decision, but computes
                all patches next to active ones too. Defaults to ``'output'``.
            break_even (str | float): Share of active patches above which the
                dense layer is faster; ``'auto'`` estimates it from the halo.
                Defaults to ``'auto'``.
            hidden (str): Of a layer of several operations. ``'cache'``: maps
                between them are cached; halos are read, not computed, so that
                patches may be small. ``'recompute'``: they are not, and every
                patch computes its halo; less memory, and active patches are
                exact whatever their neighbors are. Defaults to ``'cache'``.

        Raises:
            ValueError: If an argument is not allowed.
        """
        if hidden not in HIDDEN:
            raise ValueError(f'hidden must be one of {HIDDEN}, got {hidden!r}')
        if reuse not in REUSES:
            raise ValueError(f'reuse must be one of {REUSES}, got {reuse!r}')
        number = isinstance(break_even, (int, float))
        if break_even != 'auto' and not (number and 0 <= break_even <= 1):
            raise ValueError(
                f"break_even must be 'auto' or in [0, 1], got {break_even!r}"
            )
        gate = build_gate(gate, channels)
        if reuse == 'input' and gate.half_reference:
            raise ValueError(
                "half_reference must be False with reuse='input', got True"
            )
        if reuse == 'input' and gate.sample_channels is not None:
            raise ValueError(
                "sample_channels must be None with reuse='input', got "
                f'{gate.sample_channels}'
            )
        self.gate = gate
        self.reuse = reuse
        self.break_even = break_even
        self.hidden = hidden

    def make_chain(self) -> Chain:
        """What the layer computes, as a chain that runs on tiles."""
        raise NotImplementedError

    def dense(self, x: Tensor) -> Tensor:
        """The stock layer."""
        return super().forward(x)

    @property
    def chain(self) -> Chain:
        """The chain, made when first needed or when a part was replaced."""
        parts = tuple(map(id, self._modules.values()))
        if self._chain is None or self._chain[0] != parts:
            self.__dict__['_chain'] = (parts, self.make_chain())
        return self._chain[1]

    @property
    def caches_hidden(self) -> bool:
        """Whether maps between its operations are cached."""
        return self.hidden == 'cache' and len(self.chain.steps) > 1

    def plan(self, x: Tensor) -> TilePlan:
        """Where patches of an input lie: see :class:`TilePlan`."""
        return self.chain.plan(x.shape[-2:], self.gate.patch_size, x.device)

    def break_even_of(self, plan: TilePlan) -> float:
        """Share of active patches above which the dense layer is faster."""
        if self.break_even != 'auto':
            return self.break_even
        dense, tile = self.chain.macs(plan, self.caches_hidden)
        # Copies of tiles cost about a tenth of what they are gathered for.
        return 0.9 * dense / max(tile * plan.patches, 1)

    def forward(self, x: Tensor) -> Tensor:
        """As the stock layer; over active patches if a state is bound.

        Args:
            x (Tensor): :math:`(B, C, H, W)`.
        """
        binding = self._binding
        if binding is None or self.gate.running_mode.bypasses_gates:
            return self.dense(x)
        if hasattr(binding, 'states'):
            return run_streams(self, x, binding)
        return self._run_clip(x, binding)

    def decide(self, x: Tensor, ref: Tensor, plan: TilePlan) -> Tensor:
        """Active patches by the gate, over the windows that this reuse has.

        Args:
            x (Tensor): Current input.
            ref (Tensor): Reference input.
            plan (TilePlan): Of this size.
        """
        held = self.reuse == 'input'
        return self.gate(x, ref, plan.plain_window if held else plan.window)

    def _run_clip(self, x: Tensor, binding) -> Tensor:
        state, name = binding.state, self._name
        plan = self.plan(x)
        state.macs[name] = self.chain.macs(plan)[0]
        if binding.commit:
            out = self.dense(x)
            state.refs[name], state.outs[name] = x.detach(), out.detach()
            state.active.pop(name, None)
            return out
        ref = state.refs.get(name)
        if ref is None or ref.shape != x.shape:
            return self.dense(x)
        if name not in state.active:
            state.active[name] = self.decide(x, ref, plan)
        if binding.mask_mode is MaskMode.Anchor:
            return self.dense(x)
        active = state.active[name]
        if self.reuse == 'input':
            pixels = upsample_patches(active, plan.patch, x.shape[-2:])
            return self.dense(compose(x, ref, pixels, binding.mask_mode))
        out = self.dense(x)
        pixels = upsample_patches(active, plan.out_patch, out.shape[-2:])
        return compose(out, state.outs[name], pixels, binding.mask_mode)

    def __getstate__(self) -> dict:
        state = dict(self.__dict__)
        for key in ('_binding', '_chain'):
            state.pop(key, None)
        return state

    def __reduce_ex__(self, protocol: int) -> Tuple:
        made = type(self).__dict__.get('_composed')
        if made is None:
            return super().__reduce_ex__(protocol)
        return _rebuild, made, self.__getstate__()


@lru_cache(maxsize=None)
def composed_class(mixin: type, stock: type) -> type:
    """The class of a stock layer that has become a gated one.

    Args:
        mixin (type): A :class:`GatedLayer`.
        stock (type): The class of the layer.
    """
    # mmengine's initializers match names of the direct bases: those of the
    # stock class are repeated, so that they match what they did.
    bases = tuple(base for base in stock.__bases__ if base is not object)
    body = dict(
        _composed=(mixin, stock),
        __module__=__name__,
        __doc__=stock.__doc__,
    )
    return type(f'Gated{stock.__name__}', (mixin, stock, *bases), body)


def stock_class(module: nn.Module) -> type:
    """The class of a layer without its gate."""
    composed = type(module).__dict__.get('_composed')
    return composed[1] if composed else type(module)


def _rebuild(mixin: type, stock: type) -> nn.Module:
    cls = composed_class(mixin, stock)
    return cls.__new__(cls)
