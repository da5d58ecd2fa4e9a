# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One pass of training over one frame of a batch of clips."""

from typing import NamedTuple

from torch import Tensor

from .clip_state import ClipState
from .mask_mode import MaskMode, compose_frames, upsample_patches


class ClipBinding(NamedTuple):
    """What the gated layers of a model are bound to for one pass.

    Args:
        state (ClipState): References.
        mask_mode (MaskMode): What the layers compose.
        commit (bool): Whether inputs become the references.
    """

    state: ClipState
    mask_mode: MaskMode
    commit: bool

    def run(self, layer, x: Tensor) -> Tensor:
        """Compose the input or output of a layer, computed densely.

        Args:
            layer (GatedLayer): The layer, bound.
            x (Tensor): Its input, :math:`(B, C, H, W)`.
        """
        state, name, plan = self.state, layer._name, layer.plan(x)
        state.macs[name] = layer.chain.macs(plan)[0]
        if self.commit:
            out = layer.dense(x)
            state.refs[name], state.outs[name] = x.detach(), out.detach()
            state.active.pop(name, None)
            return out
        ref = state.refs.get(name)
        if ref is None or ref.shape != x.shape:
            return layer.dense(x)
        if name not in state.active:
            state.active[name] = layer.decide(x, ref, plan)  # B, G_h, G_w
        if self.mask_mode is MaskMode.Anchor:
            return layer.dense(x)
        held = layer.reuse == 'input'
        out, ref, patch = x, ref, plan.patch
        if not held:
            out, ref, patch = layer.dense(x), state.outs[name], plan.out_patch
        pixels = upsample_patches(state.active[name], patch, out.shape[-2:])
        out = compose_frames(out, ref, pixels, self.mask_mode)
        return layer.dense(out) if held else out
