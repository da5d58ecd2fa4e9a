# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A layer that computes active patches, in sparse inference and training."""

from typing import Any, List, Optional, Tuple, Union

from torch import Tensor, nn

from mask_plugins.native.pixel_changes import PixelChanges
from mask_plugins.utils.checks import check_choice, check_ratio

from ..composed import Composed, decompose, layers_of
from .chain import Chain
from .chain_check import check_chain, whole_output
from .gates import Gate, build_gate
from .tile_plan import TilePlan

OPTIONS = ('gate', 'reuse', 'break_even', 'hidden')


class GatedLayer(Composed):
    """A mix-in: with a state bound, compute active patches, else all.

    Names of parameters stay what they were; the gate's are added. Unbound, or
    in a running mode that bypasses gates, it is the stock layer, bit for bit.
    Of several mix-ins gates are the innermost, so that a gated convolution
    reads its effective weight whether masks came before or after.

    Examples:
        >>> from mask_plugins.core.patches import GatedConv2d
        >>> conv = GatedConv2d(3, 4, 3, padding=1, gate='exact')
        >>> isinstance(conv, GatedLayer), conv.reuse
        (True, 'output')
    """

    gate: Gate
    transient = ('_binding', '_chain')
    #: Other attributes that go with the gate.
    own = ('_name',)
    _binding: Any = None
    _name: str = ''
    _chain: Optional[Tuple[Tuple, Chain]] = None

    def init_gate(
        self,
        gate,
        channels: Optional[int] = None,
        reuse: str = 'output',
        break_even: Union[str, float] = 'auto',
        hidden: str = 'cache',
        patch_size: Union[int, Tuple[int, int]] = 8,
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
            patch_size (int | tuple[int, int]): Of a gate that does not say
                its own. Defaults to 8.

        Raises:
            TypeError: If the gate or the break-even is of another type.
            ValueError: If the layer cannot run on tiles, or an argument is
                not one of those above.
        """
        self.hidden = check_choice('hidden', hidden, ('cache', 'recompute'))
        self.reuse = check_choice('reuse', reuse, ('output', 'input'))
        if break_even != 'auto':
            break_even = check_ratio("break_even (if not 'auto')", break_even)
        self.break_even = break_even
        self.gate = build_gate(gate, channels, patch_size=patch_size)
        sampled = self.gate.sample_channels
        if reuse == 'input' and sampled is not None:
            raise ValueError(
                f'sample_channels must be None to hold inputs, got {sampled}'
            )
        self.chain  # noqa: B018 (an error now, not in the first frame)

    def make_chain(self) -> Chain:
        """What the layer computes, as a chain that runs on tiles."""
        raise NotImplementedError

    def parts(self) -> List[nn.Module]:
        """The modules whose work the chain does."""
        other = {self, *self.gate.modules()}
        return [module for module in self.modules() if module not in other]

    def stock(self) -> nn.Module:
        """Take the gate off, in place."""
        names = (*OPTIONS, *GatedLayer.transient, *self.own)
        for mixin, _ in layers_of(self):
            if issubclass(mixin, GatedLayer):
                decompose(self, mixin)
        for name in names:
            self._modules.pop(name, None)
            self.__dict__.pop(name, None)
        return self

    def dense(self, x: Tensor) -> Tensor:
        """The stock layer."""
        return super().forward(x)

    @property
    def chain(self) -> Chain:
        """The chain, made and checked when first needed."""
        if self._chain is None:
            self.update_chain()
        return self._chain[1]

    def update_chain(self) -> None:
        """Make the chain again, and check it, if a part has changed."""
        key = tuple(
            (id(m), type(m), len(m._forward_hooks), len(m._forward_pre_hooks))
            for m in self.parts()
        )
        if self._chain is None or self._chain[0] != key:
            chain = self.make_chain()
            check_chain(self, chain)
            chain.cached = self.hidden == 'cache' and len(chain.steps) > 1
            self._chain = (key, chain)

    def plan(self, x: Tensor) -> TilePlan:
        """Where patches of an input lie: see :class:`TilePlan`."""
        return self.chain.plan(x.shape[-2:], self.gate.patch_size, x.device)

    def whole(self, x: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """The whole output, and the maps on the way that are cached."""
        return whole_output(self, self.chain, x)

    def break_even_of(self, plan: TilePlan) -> float:
        """Share of active patches above which the dense layer is faster."""
        if self.break_even != 'auto':
            return self.break_even
        dense, tile = self.chain.macs(plan)
        # Copies of tiles cost about a tenth of what they are gathered for.
        return 0.9 * dense / max(tile * plan.patches, 1)

    @property
    def bound(self) -> bool:
        """Whether calls compute active patches only."""
        return self._binding is not None and (
            not self.gate.running_mode.bypasses_gates
        )

    def forward(self, x: Tensor) -> Tensor:
        """As the stock layer; over active patches if a state is bound.

        Args:
            x (Tensor): :math:`(B, C, H, W)`.
        """
        return self._binding(self, x) if self.bound else self.dense(x)

    def decide(
        self,
        x: Tensor,
        ref: Tensor,
        plan: TilePlan,
        known: Optional[PixelChanges] = None,
    ) -> Tensor:
        """Active patches by the gate, over the windows that this reuse has.

        Args:
            x (Tensor): Current input, :math:`(B, C, H, W)`.
            ref (Tensor): Reference input.
            plan (TilePlan): Of this size.
            known (PixelChanges, optional): For a gate that compares, see
                :meth:`Gate.scores`. Defaults to None.

        Returns:
            Tensor: :math:`(B, G_h, G_w)`, see :class:`Gate`.
        """
        held = self.reuse == 'input'
        window = plan.plain_window if held else plan.window
        more = () if known is None else (known,)
        return self.gate(x, ref, window, *more)

    def check_done(self) -> None:
        """Called when the network has seen a frame."""

    def unbind(self) -> None:
        """Forget what a call was bound to."""
        vars(self)['_binding'] = None
