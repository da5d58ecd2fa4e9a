# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Bind what is remembered to the gated layers of a model, for one call."""

from contextlib import contextmanager
from functools import partial
from typing import ContextManager, Dict, Iterator, Sequence, Union

from torch import nn

from mask_plugins.utils.checks import check_choice

from .clip_state import ClipState
from .gated_layer import GatedLayer
from .mask_mode import MaskMode
from .stream_binding import StreamBinding
from .stream_state import StreamState


class StreamBinder:
    """Finds the gated layers of a model once, and binds states to them.

    Args:
        model (nn.Module): With gated layers.

    Raises:
        ValueError: If it has none.

    Examples:
        >>> import torch
        >>> from mask_plugins.core.patches import apply_patch_gates
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)).eval()
        >>> model = apply_patch_gates(model, 'exact', place='conv')
        >>> binder, state = StreamBinder(model), StreamState()
        >>> with torch.no_grad(), binder.bind(state):
        ...     output = model(torch.zeros(1, 3, 32, 32))
        >>> state.frame, list(binder.layers)
        (1, ['0'])
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers = gated_layers(model)
        if not self.layers:
            raise ValueError(f'{type(model).__name__} has no gated layers')

    @contextmanager
    def bind(
        self,
        states: Union[StreamState, Sequence[StreamState]],
        execution: str = 'auto',
    ) -> Iterator[None]:
        """Calls inside compute only what is active; one call per frame.

        The output of a gated layer is its cache: it changes with the next
        frame of its streams, so keep a copy of what you want to keep. A
        consumer that changes it in place costs one full refresh, after which
        that layer returns copies.

        Args:
            states (StreamState | Sequence[StreamState]): One per sample of
                the batch, in its order; streams may join, leave and move.
            execution (str): ``'auto'``, a layer computes in full where that
                is faster; ``'sparse'``, never for that reason; ``'dense'``,
                always. Defaults to ``'auto'``.

        Raises:
            RuntimeError: If the model is in training mode or bound already.
            TypeError: If a part has changed so that it cannot run on tiles.
            ValueError: If a state comes twice or the execution is unknown.
        """
        if isinstance(states, StreamState):
            states = [states]
        check_choice('execution', execution, ('auto', 'sparse', 'dense'))
        if len({id(state) for state in states}) != len(states):
            raise ValueError('states must be different ones, got one twice')
        if self.model.training:
            raise RuntimeError('a model in training mode: call eval() first')
        try:
            with self._bound(StreamBinding(states, execution)):
                yield
        except BaseException:
            for state in states:
                state.reset()  # half a frame: layers disagree about the last
            raise
        for state in states:
            state.end()

    def bind_clip(
        self,
        state: ClipState,
        mask_mode: MaskMode = MaskMode.Positive,
        commit: bool = False,
    ) -> ContextManager[None]:
        """Calls inside compose densely, with gradients: see ClipState.

        Args:
            state (ClipState): Of the batch of clips.
            mask_mode (MaskMode): Defaults to ``MaskMode.Positive``.
            commit (bool): Make the inputs of layers the references of what
                follows, and forget the decisions. Defaults to False.
        """
        run = partial(state.run, mask_mode=mask_mode, commit=commit)
        return self._bound(run)

    @contextmanager
    def _bound(self, binding) -> Iterator[None]:
        for name, layer in self.layers.items():
            if layer._binding is not None:
                raise RuntimeError(f'{name} is bound by another call')
        try:
            for name, layer in self.layers.items():
                # Past Module.__setattr__, which is slow, in every frame.
                vars(layer).update(_binding=binding, _name=name)
            yield
            for layer in self.layers.values():
                layer.check_done()
        finally:
            for layer in self.layers.values():
                layer.unbind()


def gated_layers(model: nn.Module) -> Dict[str, GatedLayer]:
    """The gated layers of a model by name, those inside gated blocks not.

    Args:
        model (nn.Module): Any.

    Returns:
        dict[str, GatedLayer]: In the order of the modules.

    Examples:
        >>> from torch import nn
        >>> from mask_plugins.core.patches import apply_patch_gates
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> list(gated_layers(apply_patch_gates(model, place='conv')))
        ['0']
    """
    found: Dict[str, GatedLayer] = {}
    inside = set()
    for name, module in model.named_modules():
        if isinstance(module, GatedLayer) and module not in inside:
            found[name] = module
            inside.update(module.modules())
    return found
