# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A ResNet that computes the patches that have changed."""

from typing import Sequence, Union

from mmpretrain.models.backbones import ResNet

from mask_plugins.core.patches import apply_patch_gates, gated_layers
from mask_plugins.models.gated_model import read_rules
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import PathLike, check_choice


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
            :func:`mask_plugins.core.patches.apply_patch_gates`. Defaults to
            ``'output'``.
        break_even (str | float): See there. Defaults to ``'auto'``.
        gate_stem (bool): Gate the first convolution too. Defaults to True.
        rules (str | Path | Sequence): Options of single layers; see
            :func:`mask_plugins.core.patches.apply_patch_gates`. A file that
            ``tools/analysis/calibrate_gate.py`` wrote is read.
            Defaults to ().
        **kwargs: Of ``ResNet``.

    Raises:
        ValueError: If there is not one patch size per stage, or ``place`` or
            an option of the gates is not one of those above.

    Examples:
        >>> backbone = GatedResNet(18, gate='exact', base_channels=8,
        ...                        stem_channels=8)
        >>> backbone.layer1[0].gate
        ExactGate(patch_size=(8, 8), threshold=0.0)
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
        rules: Union[PathLike, Sequence] = (),
        **kwargs,
    ) -> None:
        super().__init__(depth, **kwargs)
        check_choice('place', place, ('block', 'stage', 'conv'))
        if len(patch_sizes) != self.num_stages:
            allowed = f'{self.num_stages} numbers, one per stage'
            raise ValueError(f'patch_sizes must be {allowed}: {patch_sizes}')
        sizes = dict(zip(self.res_layers, patch_sizes))
        rules = list(read_rules(rules))
        if place == 'conv' and not gate_stem:
            rules.insert(0, ('stem.*' if self.deep_stem else 'conv1', 'skip'))
        apply_patch_gates(
            self,
            gate=gate,
            place='conv' if place == 'conv' else 'block',
            patch_size=lambda name: sizes.get(
                name.split('.')[0], patch_sizes[0]
            ),
            reuse=reuse,
            break_even=break_even,
            stem=gate_stem,
            rules=rules,
        )
        if place == 'stage':
            for name in self.res_layers:
                blocks = list(gated_layers(getattr(self, name)).values())
                for block in blocks[1:]:
                    block.gate = blocks[0].gate
