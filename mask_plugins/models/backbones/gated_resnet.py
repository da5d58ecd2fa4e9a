# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A ResNet that computes the patches that have changed."""

from typing import Sequence, Union

from mmpretrain.models.backbones import ResNet

from mask_plugins.core.patches import apply_patch_gates
from mask_plugins.models.gated_model import plain, read_rules
from mask_plugins.registry import MODELS

PLACES = ('block', 'stage', 'conv')


@MODELS.register_module()
class GatedResNet(ResNet):
    """mmpretrain's ResNet with gates for streams of frames (PASS, AAAI 2023).

    Without a stream bound to it (:class:`mask_plugins.StreamClassifier`,
    :class:`mask_plugins.StreamFeatureExtractor`) it is that ResNet, bit for
    bit, and weights of one load into the other.

    Args:
        depth (int): 18, 34, 50, 101 or 152.
        gate (str | dict): See :func:`mask_plugins.core.patches.build_gate`:
            ``'exact'``, ``'threshold'``, ``'topk'``, ``'random'``, ``'all'``,
            ``'none'``, ``'pooled'`` (learned) or ``'convmixer'``. Defaults to
            ``'threshold'``.
        place (str): ``'block'``: a gate per residual block, which runs
            on tiles; ``'stage'``: the same, but the blocks of a stage share
            the parameters of one gate; ``'conv'``: a gate per convolution.
            Defaults to ``'block'``.
        patch_sizes (Sequence[int]): Of each stage, in pixels of the input of
            its layers. The stem takes four times that of the first stage.
            Defaults to (8, 8, 4, 2).
        reuse (str): ``'output'`` or ``'input'``; see
            :class:`mask_plugins.core.patches.GatedLayer`. Defaults to
            ``'output'``.
        break_even (str | float): See there. Defaults to ``'auto'``.
        gate_stem (bool): Gate the first convolution too. Defaults to True.
        rules (str | Sequence[dict]): Options of single layers; see
            :func:`mask_plugins.core.patches.apply_patch_gates`. A file that
            ``tools/analysis/calibrate_gate.py`` wrote is read.
            Defaults to ().
        **kwargs: Of ``ResNet``.

    Raises:
        ValueError: If an argument is not one of the allowed.
    """

    def __init__(
        self,
        depth: int,
        gate: Union[str, dict] = 'threshold',
        place: str = 'block',
        patch_sizes: Sequence[int] = (8, 8, 4, 2),
        reuse: str = 'output',
        break_even: Union[str, float] = 'auto',
        gate_stem: bool = True,
        rules: Union[str, Sequence[dict]] = (),
        **kwargs,
    ) -> None:
        super().__init__(depth, **kwargs)
        if place not in PLACES:
            raise ValueError(f'place must be one of {PLACES}, got {place!r}')
        if len(patch_sizes) != self.num_stages:
            raise ValueError(
                f'patch_sizes must be {self.num_stages} numbers, one per '
                f'stage, got {tuple(patch_sizes)}'
            )
        by_stage = [
            dict(pattern=f'layer{number}.*', patch_size=size)
            for number, size in enumerate(patch_sizes, 1)
        ]
        if place == 'conv' and not gate_stem:
            stem = 'stem.*' if self.deep_stem else 'conv1'
            by_stage.append(dict(pattern=stem, enabled=False))
        self.gated_layers = apply_patch_gates(
            self,
            gate=plain(gate),
            place='conv' if place == 'conv' else 'block',
            patch_size=patch_sizes[0],
            reuse=reuse,
            break_even=break_even,
            stem=gate_stem,
            rules=by_stage + read_rules(rules),
        )
        if place == 'stage':
            self._share_gates()

    def _share_gates(self) -> None:
        for name in self.res_layers:
            first, *others = getattr(self, name)
            for block in others:
                if hasattr(block, 'gate'):
                    block.gate = first.gate
