# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""References of a batch of clips, for the masked passes of training."""

from typing import Dict

from torch import Tensor

from .mask_mode import MaskMode, compose_frames, upsample_patches


class ClipState:
    """What gated layers saw of the last frame, and what they decided since.

    The layers compute densely and compose, so that all is differentiable. A
    pass with ``commit`` makes its inputs the references; later passes only
    read them. Decisions are drawn once, in the first pass that needs them
    (best an Anchor one, which sees the true features), and shared by all
    passes until the next commit.

    Examples:
        >>> import torch
        >>> state = ClipState()
        >>> state.active['conv'] = torch.tensor([[[True, False]]])
        >>> state.macs['conv'] = 100
        >>> state.skip_ratio()
        tensor(0.5000)
    """

    def __init__(self) -> None:
        #: Name of each gated layer -> reference input, detached.
        self.refs: Dict[str, Tensor] = {}
        #: ... -> output of the reference, detached.
        self.outs: Dict[str, Tensor] = {}
        #: ... -> active patches, with a gradient while gates train.
        self.active: Dict[str, Tensor] = {}
        #: ... -> multiply-adds of the dense layer for one frame.
        self.macs: Dict[str, int] = {}

    def run(
        self, layer, x: Tensor, mask_mode: MaskMode, commit: bool
    ) -> Tensor:
        """Compose the input or output of a layer, computed densely.

        Args:
            layer (GatedLayer): The layer, bound.
            x (Tensor): Its input, :math:`(B, C, H, W)`.
            mask_mode (MaskMode): What the layers compose.
            commit (bool): Whether inputs become the references.
        """
        name, plan = layer._name, layer.plan(x)
        self.macs[name] = layer.chain.macs(plan)[0]
        if commit:
            out = layer.dense(x)
            self.refs[name], self.outs[name] = x.detach(), out.detach()
            self.active.pop(name, None)
            return out
        ref = self.refs.get(name)
        if ref is None or ref.shape != x.shape:
            return layer.dense(x)
        if name not in self.active:
            self.active[name] = layer.decide(x, ref, plan)  # B, G_h, G_w
        if mask_mode is MaskMode.Anchor:
            return layer.dense(x)
        held = layer.reuse == 'input'
        out, ref, patch = x, ref, plan.patch
        if not held:
            out, ref, patch = layer.dense(x), self.outs[name], plan.out_patch
        pixels = upsample_patches(self.active[name], patch, out.shape[-2:])
        out = compose_frames(out, ref, pixels, mask_mode)
        return layer.dense(out) if held else out

    def skip_ratio(self) -> Tensor:
        """Skip ratio over all layers, weighted by their multiply-adds.

        Raises:
            ValueError: If no layer has decided anything yet.
        """
        if not self.active:
            raise ValueError('no gate has decided: run a frame, commit=True')
        total = sum(self.macs[name] for name in self.active)
        return sum(
            self.macs[name] / total * (1 - active.float().mean())
            for name, active in self.active.items()
        )
