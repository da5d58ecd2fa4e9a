# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Patches of feature maps: which to compute anew, and doing only that.

For PASS (Zhou et al., "PASS: Patch Automatic Skip Scheme for Efficient
Real-Time Video Perception on Edge Devices", AAAI 2023). Throughout, a patch
is *active* if it is computed and *skip* if the last result is reused.

Three parts:

1. **A gate** decides: ``gate.scores(x, ref)``, float
   :math:`(B, G_h, G_w)`, high needs computing most; ``gate(x, ref)``, the
   active patches, bool, or float with a straight-through gradient while a
   learned gate trains. ``ref`` is the reference: what the cached output of
   each patch was computed from. Gates keep nothing between calls.
2. **A gated layer** (``GatedConv2d``, ``GatedBlock``) computes what is
   active. Unbound it is the plain dense layer, bit for bit.
3. **A ``StreamState``** per video stream holds references and cached
   outputs; ``StreamBinder(model).bind(states)`` binds one state per sample
   to the gated layers of a model for one call. ``ClipState`` does so for
   the masked, differentiable passes of training.

Shapes: B frames (one per stream), C channels, H and W of a map,
:math:`G_h, G_w` of its grid of patches.
"""

from .change import map_scale, patch_change, pool_windows
from .gates import (
    GATES,
    ConstantGate,
    ConvMixerGate,
    ExactGate,
    Gate,
    LearnedGate,
    PooledDifferenceGate,
    RandomGate,
    ThresholdGate,
    TopKGate,
    build_gate,
)
from .mask_gate import MaskGate
from .mask_mode import MaskMode, compose, upsample_patches
from .running_mode import (
    RunningMode,
    check_running_mode,
    gates_of,
    restore_requires_grad,
    set_running_mode,
)
from .window import PatchWindow

__all__ = [
    'GATES',
    'ConstantGate',
    'ConvMixerGate',
    'ExactGate',
    'Gate',
    'LearnedGate',
    'MaskGate',
    'MaskMode',
    'PatchWindow',
    'PooledDifferenceGate',
    'RandomGate',
    'RunningMode',
    'ThresholdGate',
    'TopKGate',
    'build_gate',
    'check_running_mode',
    'compose',
    'gates_of',
    'map_scale',
    'patch_change',
    'pool_windows',
    'restore_requires_grad',
    'set_running_mode',
    'upsample_patches',
]
