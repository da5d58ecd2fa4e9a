# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One stream through a gated network, with thresholds that can be set."""

import copy
from typing import Dict, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mask_plugins.core.patches import (
    ConstantGate,
    Gate,
    StreamBinder,
    StreamState,
    apply_patch_gates,
    gated_layers,
)
from mask_plugins.utils.checks import check_choice

from .stream_model import last_feature

# As small as tiles can be before their convolutions become slower than those
# of whole maps: halos cost nothing where hidden maps are cached.
PATCH_SIZES = (4, 4, 2, 2)


def gate_network(
    dense: nn.Module,
    gate='threshold',
    place: str = 'block',
    patch_sizes: Sequence[int] = PATCH_SIZES,
    **options,
) -> nn.Module:
    """A copy of a network with gates on its blocks or convolutions.

    Args:
        dense (nn.Module): Such as of :func:`best_dense`.
        gate (str | dict): As of ``apply_patch_gates``. Defaults to
            'threshold'.
        place (str): As of ``apply_patch_gates``. Defaults to 'block'.
        patch_sizes (Sequence[int]): Of ``layer1``, ``layer2``, ... of a
            ResNet, in pixels of the maps that they put out: blocks that halve
            the map read twice as large ones. The first serves all others.
            Defaults to PATCH_SIZES.
        **options: Others of ``apply_patch_gates``.

    Returns:
        nn.Module: In eval mode.

    Examples:
        >>> from mask_plugins.core.patches import gated_layers
        >>> net = gate_network(nn.Sequential(nn.Conv2d(3, 4, 3)), place='conv')
        >>> list(gated_layers(net))
        ['0']
    """
    stages = {f'layer{n}': size for n, size in enumerate(patch_sizes, 1)}

    def patch_size(name: str) -> int:
        stage, _, block = name.partition('.')
        size = stages.get(stage, patch_sizes[0])
        halves = block.split('.')[0] == '0' and stage != 'layer1'
        return 2 * size if halves and stage in stages else size

    network = copy.deepcopy(dense)
    return apply_patch_gates(network, gate, place, patch_size, **options)


def gate_alike(dense: nn.Module, backbone: nn.Module, gate) -> nn.Module:
    """A copy of a network with other gates where a gated one has its own.

    Args:
        dense (nn.Module): Such as of :func:`best_dense`, of the same layers.
        backbone (nn.Module): The gated one.
        gate (str | dict): As of ``apply_patch_gates``.

    Returns:
        nn.Module: In eval mode.

    Examples:
        >>> from mask_plugins.core.patches import gated_layers
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
        >>> own = gate_network(net, 'pooled', 'conv', rules=[('0', 'skip')])
        >>> gated_layers(gate_alike(net, own, 'exact'))['1'].gate
        ExactGate(patch_size=(4, 4), threshold=0.0)
    """
    layers = gated_layers(backbone)
    convs = all(isinstance(layer, nn.Conv2d) for layer in layers.values())
    same = ('reuse', 'break_even', 'hidden')
    rules = [
        dict(
            {key: getattr(layer, key) for key in same},
            pattern=name,
            action='gate',
            patch_size=layer.gate.patch_size,
        )
        for name, layer in layers.items()
    ]
    network = apply_patch_gates(
        copy.deepcopy(dense),
        gate,
        place='conv' if convs else 'block',
        rules=[*rules, ('*', 'skip')],
    )
    network.eval()
    return network


class GatedStream:
    """Run one stream; ask what was skipped; set thresholds by layer.

    Args:
        network (nn.Module): With gated layers; its gates may be replaced.
        **options: Of :class:`mask_plugins.core.patches.StreamState`.

    Examples:
        >>> net = gate_network(nn.Sequential(nn.Conv2d(3, 4, 3)), place='conv')
        >>> stream = GatedStream(net.eval(), refresh_every=0)
        >>> for _ in range(2):
        ...     feature = stream(torch.ones(1, 3, 16, 16))
        >>> stream.shares()
        {'0': 0.0}
    """

    def __init__(self, network: nn.Module, **options) -> None:
        self.network = network
        self.feature = last_feature(network)
        self.binder = StreamBinder(network)
        self.layers = self.binder.layers
        self.gates: Dict[str, Gate] = {
            name: layer.gate for name, layer in self.layers.items()
        }
        self.options = options
        floats = (p.dtype for p in network.parameters())
        self.dtype = next(floats, torch.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the next frame is computed in full."""
        self.state = StreamState(**self.options)
        self._before = (0, 0)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """The last feature of the next frame.

        Args:
            image (Tensor): :math:`(1, 3, H, W)`, computed with in the
                precision of the network.

        Returns:
            Tensor: float32; a cache that the next frame may overwrite.
        """
        with self.binder.bind(self.state):
            return self.feature(image.to(self.dtype)).float()

    def shares(self) -> Dict[str, float]:
        """Share of active patches in the last frame, by layer.

        Layers whose gate is never asked count as fully active.
        """
        found = {
            name: float(stats.active.float().mean())
            for name, stats in self.state.stats().items()
        }
        return {name: found.get(name, 1.0) for name in self.layers}

    def skip_ratio(self) -> float:
        """Share of multiply-adds skipped since the last call.

        Of all gated layers, halos and gates counted against it. To be called
        once per frame.
        """
        stats = self.state.stats().values()
        now = (sum(s.macs for s in stats), sum(s.skipped_macs for s in stats))
        macs, skipped = (new - old for new, old in zip(now, self._before))
        self._before = now
        return skipped / macs if macs else 0.0

    def active(self) -> Optional[np.ndarray]:
        """Patches of the first layer that were computed in the last frame.

        Returns:
            np.ndarray: bool, :math:`(h, w)`; None if there is no record.
        """
        for stats in self.state.stats().values():
            return stats.active.numpy()
        return None

    def set_thresholds(
        self,
        thresholds: Mapping[str, Optional[float]],
        break_even: Optional[Mapping[str, float]] = None,
    ) -> None:
        """Set gates, and forget the stream.

        Args:
            thresholds (Mapping): By layer; None makes it dense.
            break_even (Mapping, optional): Shares of active patches above
                which a layer is dense. Defaults to None: left as they are.

        Raises:
            ValueError: If a name is not that of a gated layer.
        """
        for name in {**thresholds, **(break_even or {})}:
            check_choice('a gated layer', name, self.layers)
        for name, threshold in thresholds.items():
            gate = self.gates[name]
            if threshold is None:
                gate = ConstantGate(True, patch_size=gate.patch_size)
            else:
                gate.threshold = threshold
            self.layers[name].gate = gate
        for name, share in (break_even or {}).items():
            self.layers[name].break_even = share
        self.reset()
