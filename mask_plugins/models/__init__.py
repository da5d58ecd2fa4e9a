# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What can a config name? Registered backbones, heads, layers, wrappers."""

from . import (  # noqa: F401
    backbones,
    classifiers,
    distilled_model,
    gated_model,
    heads,
    layers,
    losses,
    masked_model,
    necks,
    peft_model,
    selfsup,
    stream_feature_extractor,
    teachers,
)
