# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Streams by name, and the network that they are run through."""

from contextlib import contextmanager, nullcontext
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
)

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mask_plugins.core.patches import StreamBinder, StreamState
from mask_plugins.utils.checks import check_choice

Macs = Dict[str, Tuple[int, int, int]]


class StreamSession:
    """Keep one state per stream and bind those of a batch.

    Streams may join, leave and change places in the batch; each is
    independent of its neighbors, and keeps its slot in the caches.

    Args:
        network (nn.Module): With gated layers.
        options (dict, optional): Arguments of
            :class:`mask_plugins.core.patches.StreamState`. Defaults to None.
        execution (str): ``'auto'``, ``'sparse'`` or ``'dense'``; see
            :meth:`mask_plugins.core.patches.StreamBinder.bind`. Defaults to
            ``'auto'``.
        dtype (str): ``'fp32'``, or ``'bf16'``: frames, references and caches
            are bfloat16, which halves the state; weights stay as they are.
            Defaults to ``'fp32'``.

    Raises:
        TypeError: If an option of the states is unknown.
        ValueError: If the network has no gated layers, an option of the
            states is out of its range or the dtype unknown.

    Examples:
        >>> from mask_plugins.core.patches import GatedConv2d
        >>> conv = GatedConv2d(3, 4, 3).eval()
        >>> session = StreamSession(conv)
        >>> with torch.no_grad():
        ...     out = session.run(conv, torch.zeros(2, 3, 16, 16),
        ...                       ['left', 'right'])
        >>> list(session.states)
        ['left', 'right']
    """

    def __init__(
        self,
        network: nn.Module,
        options: Optional[dict] = None,
        execution: str = 'auto',
        dtype: str = 'fp32',
    ) -> None:
        self.dtype = check_choice('dtype', dtype, ('fp32', 'bf16'))
        self.binder = StreamBinder(network)
        self.options = dict(options or {})
        self.execution = execution
        self.states: Dict[str, StreamState] = {}
        #: Streams of the last batch, in the order of their slots.
        self._slots: List[str] = []
        StreamState(**self.options)  # an error in the options at once

    def run(
        self,
        call: Callable[[Tensor], Any],
        frames: Tensor,
        streams: Sequence[str],
    ) -> Any:
        """Call the network on one frame of each stream.

        A batch in another order than the last one is put in the order of the
        slots, and the result back: frames and results are copied, caches are
        not.

        Args:
            call (Callable): From frames to tensors of as many samples, in
                tuples, lists or dicts; calls the network.
            frames (Tensor): :math:`(B, C, H, W)`.
            streams (Sequence[str]): B different names; new ones begin.

        Returns:
            Any: What ``call`` returns. Outputs of gated layers are caches,
            which the next frame overwrites.

        Raises:
            ValueError: If a name comes twice, or there is not one per frame.
        """
        streams = list(streams)
        kept = [name for name in self._slots if name in streams]
        slots = kept + [name for name in streams if name not in kept]
        with self.bound(slots if len(slots) == len(streams) else streams):
            self._slots = slots
            if slots == streams or len(frames) != len(streams):
                return call(frames)
            order = [streams.index(name) for name in slots]
            back = [slots.index(name) for name in streams]
            last = dict(memory_format=torch.channels_last)
            found = call(frames[order].contiguous(**last))
        return tree_map(lambda t: t[back], found)

    @contextmanager
    def bound(self, streams: Sequence[str]) -> Iterator[None]:
        """Calls of the network inside compute what has changed.

        Args:
            streams (Sequence[str]): Different names, one per sample of the
                batch; new ones begin.

        Raises:
            ValueError: If a name comes twice.
        """
        if len(set(streams)) < len(streams):
            raise ValueError(f'streams must be different names, got {streams}')
        states = [
            self.states.setdefault(name, StreamState(**self.options))
            for name in streams
        ]
        cast = nullcontext()  # not `enabled=False`: a caller may have its own
        if self.dtype == 'bf16':
            device = next(self.binder.model.parameters()).device.type
            cast = torch.autocast(device, torch.bfloat16)
        with cast, self.binder.bind(states, self.execution):
            yield

    def macs(self, stream: str) -> Macs:
        """Multiply-adds so far, by layer: dense, computed, of the gate.

        Args:
            stream (str): Its name; unknown ones have none.
        """
        stats = self.states[stream].stats() if stream in self.states else {}
        return {
            name: (s.macs, s.macs - s.skipped_macs - s.gate_macs, s.gate_macs)
            for name, s in stats.items()
        }

    def reset(self, streams: Optional[Iterable[str]] = None) -> None:
        """Forget streams: their next frame is computed in full.

        Args:
            streams (Iterable[str], optional): Defaults to None, all.
        """
        for name in list(self.states if streams is None else streams):
            self.states.pop(name, None)


def macs_since(now: Macs, before: Macs) -> Macs:
    """The difference of two counts of :meth:`StreamSession.macs`.

    Examples:
        >>> macs_since({'conv': (9, 5, 1)}, {'conv': (3, 3, 0)})
        {'conv': (6, 2, 1)}
    """
    nothing = (0, 0, 0)
    return {
        name: tuple(a - b for a, b in zip(row, before.get(name, nothing)))
        for name, row in now.items()
    }
