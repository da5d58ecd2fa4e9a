# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The original's schedules and method names; more is in tests/golden."""

import pytest

from mask_plugins.compat import pss
from mask_plugins.core.schedules import CyclicSchedule
from mask_plugins.engine.hooks import PSSHook


def test_plateau_gives_the_last_level_a_full_width():
    """What the original gets by ending at -0.1."""
    original = PSSHook(
        dict(
            type='mask_plugins.OriginalCyclicSchedule',
            start=0.8,
            end=-0.1,
            quantum=0.2,
        )
    ).schedule
    ours = CyclicSchedule(0.8, 0.0, quantum=0.2, plateau='end')
    ours, original = (s.resolve(25020, 2502) for s in (ours, original))
    different = [t for t in range(2502) if ours.value(t) != original.value(t)]
    # Where the exact value ties, the original's sum rounds by its noise.
    assert different == [417, 2085]


def test_the_original_overshoots_and_clips():
    schedule = pss.OriginalLinearSchedule(0.8, 0.2, total=10)
    assert schedule.value(12) == pytest.approx(0.08)
    assert schedule.value(100) == 0.0


def test_method_names():
    arch = dict(
        embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8
    )
    model = pss.PatchSamplingTransformer(arch, img_size=8, patch_size=4)
    model.set_patch_drop_func('random')
    assert model.scorer == 'random'
    with pytest.raises(TypeError, match="got '0.5'"):
        model.set_patch_drop_ratio('0.5')
