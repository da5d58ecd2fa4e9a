# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The line through measurements, and what follows from it."""

import pytest

from mask_plugins.analysis.streams.layer_cost import LayerCost


def test_a_line_is_found_and_the_faster_way_taken():
    shares = [0.1, 0.3, 0.5, 1.0]
    cost = LayerCost.fit(1.0, 0.05, shares, [0.2 + 1.2 * s for s in shares])
    assert cost.fixed == pytest.approx(0.2)
    assert cost.slope == pytest.approx(1.2)
    assert cost.break_even == pytest.approx(0.8 / 1.2)
    assert cost.seconds(0.1) == pytest.approx(0.05 + 0.32)
    assert cost.seconds(0.9) == pytest.approx(1.05)
    assert cost.as_dict()['dense_ms'] == 1000


def test_sparse_that_never_pays_or_always_does():
    slow = LayerCost.fit(1.0, 0.0, [0.0, 1.0], [1.5, 2.5])
    assert slow.break_even == 0
    fast = LayerCost.fit(1.0, 0.0, [0.0, 1.0], [0.1, 0.5])
    assert fast.break_even == 1


def test_one_share_is_no_line():
    with pytest.raises(ValueError, match='two different'):
        LayerCost.fit(1.0, 0.0, [0.5, 0.5], [1.0, 1.0])
