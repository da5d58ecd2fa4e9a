# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Bind what is remembered to the gated layers of a model, for one call."""

from contextlib import contextmanager
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Union

from torch import nn

from .clip_state import ClipState
from .gated_layer import GatedLayer
from .mask_mode import MaskMode
from .stream_state import StreamState

EXECUTIONS = ('auto', 'sparse', 'dense')


class StreamBinding(NamedTuple):
    """One call of a model on one frame of each stream.

    Args:
        states (Sequence[StreamState]): One per sample of the batch.
        execution (str): See :meth:`StreamBinder.bind`.
        begun (list): Whether the frame has been looked at.
    """

    states: Sequence[StreamState]
    execution: str
    begun: list


class ClipBinding(NamedTuple):
    """One pass of training over one frame of a batch of clips.

    Args:
        state (ClipState): References.
        mask_mode (MaskMode): What the layers compose.
        commit (bool): Whether inputs become the references.
    """

    state: ClipState
    mask_mode: MaskMode
    commit: bool


class StreamBinder:
    """Finds the gated layers of a model once, and binds states to them.

    Args:
        model (nn.Module): With gated layers.

    Raises:
        ValueError: If it has none.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers: Dict[str, GatedLayer] = dict(gated_layers(model))
        if not self.layers:
            raise ValueError(
                f'{type(model).__name__} has no gated layers: call '
                'apply_patch_gates(model, ...) first'
            )

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
        that layer hands out copies.

        Args:
            states (StreamState | Sequence[StreamState]): One per sample of
                the batch, in its order; streams may join, leave and move.
            execution (str): ``'auto'``, a layer computes in full where that
                is faster; ``'sparse'``, never for that reason; ``'dense'``,
                always. Defaults to ``'auto'``.

        Raises:
            RuntimeError: If the model is in training mode or bound already.
            ValueError: If a state comes twice or the execution is unknown.
        """
        if isinstance(states, StreamState):
            states = [states]
        if execution not in EXECUTIONS:
            raise ValueError(
                f'execution must be one of {EXECUTIONS}, got {execution!r}'
            )
        if len({id(state) for state in states}) != len(states):
            raise ValueError('states must be different ones, got one twice')
        if self.model.training:
            raise RuntimeError(
                'a model in training mode cannot be bound to streams: call '
                'eval() first, or bind_clip() to train'
            )
        done = False
        with self._bound(StreamBinding(states, execution, [])):
            try:
                yield
                done = True
            finally:
                for state in states:
                    if done:
                        state.end()
                    else:  # half a frame: layers disagree about the last
                        state.reset()

    @contextmanager
    def bind_clip(
        self,
        state: ClipState,
        mask_mode: MaskMode = MaskMode.Positive,
        commit: bool = False,
    ) -> Iterator[None]:
        """Calls inside compose densely, with gradients: see ClipState.

        Args:
            state (ClipState): Of the batch of clips.
            mask_mode (MaskMode): Defaults to ``MaskMode.Positive``.
            commit (bool): Make the inputs of layers the references of what
                follows, and forget the decisions. Defaults to False.
        """
        with self._bound(ClipBinding(state, mask_mode, commit)):
            yield

    @contextmanager
    def _bound(self, binding) -> Iterator[None]:
        for name, layer in self.layers.items():
            if layer._binding is not None:
                raise RuntimeError(
                    f'{name} is bound by another call: a model serves one '
                    'call at a time'
                )
        try:
            for name, layer in self.layers.items():
                layer._binding = binding
                layer._name = name
            yield
        finally:
            for layer in self.layers.values():
                layer._binding = None


def gated_layers(model: nn.Module) -> Iterator:
    """Name and module of each gated layer, those inside gated blocks not.

    Args:
        model (nn.Module): Any.

    Yields:
        tuple[str, GatedLayer]: In the order of the modules.
    """
    inside: Optional[str] = None
    for name, module in model.named_modules():
        if inside is not None and name.startswith(inside):
            continue
        if isinstance(module, GatedLayer):
            inside = f'{name}.' if name else ''
            yield name, module


@contextmanager
def bind_streams(
    model: nn.Module,
    states: Union[StreamState, Sequence[StreamState]],
    execution: str = 'auto',
) -> Iterator[None]:
    """Bind for one call: see :meth:`StreamBinder.bind`.

    A :class:`StreamBinder` that is kept looks for the layers only once.
    """
    with StreamBinder(model).bind(states, execution):
        yield
