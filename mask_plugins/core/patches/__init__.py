# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Patches of feature maps: which to compute again, and doing only that.

For PASS (Zhou et al., "PASS: Patch Automatic Skip Scheme for Efficient
Real-Time Video Perception on Edge Devices", AAAI 2023). Throughout, a patch
is *active* if it is computed and *skip* if the last result is reused.

Three parts:

1. **A gate** decides: ``gate.scores(x, ref)``, float
   :math:`(B, G_h, G_w)`, high needs computing most; ``gate(x, ref)``, the
   active patches, bool, or float with a straight-through gradient while a
   learned gate trains. ``ref`` is the reference: what the cached output of
   each patch was computed from. Gates keep nothing between calls.
2. **A gated layer** (``GatedConv2d``, or any convolution, residual block or
   stem of a model after ``apply_patch_gates``) computes what is active.
   Unbound it is the plain dense layer, bit for bit.
3. **A ``StreamState``** per video stream holds references and cached
   outputs; ``StreamBinder(model).bind(states)`` binds one state per sample
   to the gated layers of a model for one call. ``ClipState`` does so for
   the masked, differentiable passes of training.

Shapes: B frames (one per stream), C channels, H and W of a map,
:math:`G_h, G_w` of its grid of patches, P patches, n active ones.
"""

from .apply_patch_gates import (
    apply_patch_gates,
    gate_module,
    remove_patch_gates,
)
from .binder import StreamBinder, gated_layers
from .clip_state import ClipState
from .gated_conv import GatedConv2d
from .gated_layer import GatedLayer
from .gates import GATES, ConstantGate, Gate, RandomGate, build_gate
from .mask_mode import MaskMode, compose_frames, upsample_patches
from .running_mode import (
    RunningMode,
    check_running_mode,
    gates_of,
    set_running_mode,
)
from .stream_state import StreamState
from .tiles import TileIndex, copy_patches, scatter_tiles

__all__ = [
    'GATES',
    'ClipState',
    'ConstantGate',
    'Gate',
    'GatedConv2d',
    'GatedLayer',
    'MaskMode',
    'RandomGate',
    'RunningMode',
    'StreamBinder',
    'StreamState',
    'TileIndex',
    'apply_patch_gates',
    'build_gate',
    'check_running_mode',
    'compose_frames',
    'copy_patches',
    'gate_module',
    'gated_layers',
    'gates_of',
    'remove_patch_gates',
    'scatter_tiles',
    'set_running_mode',
    'upsample_patches',
]
