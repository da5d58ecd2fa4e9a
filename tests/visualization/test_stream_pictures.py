# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pictures and frames of gated streams."""

import numpy as np
import pytest

from mask_plugins.visualization.figure import figure_to_image
from mask_plugins.visualization.stream_charts import (
    draw_skip_sweep,
    draw_stream,
    pick_snapshots,
)
from mask_plugins.visualization.stream_frames import (
    compose_stream_frame,
    overlay_active,
)


def record(frame, **more):
    same = dict(gated_ms=20.0, skip_ratio=0.8, error=0.05)
    return dict(same, frame=frame, dense_ms=50.0 + frame, **more)


@pytest.mark.parametrize('gray', [0, 100, 255])
def test_active_patches_keep_their_color_inside_an_outline(gray):
    frame = np.full((32, 64, 3), gray, np.uint8)
    active = np.zeros((4, 8), bool)
    active[1, 2] = True
    shown = overlay_active(frame, active)
    assert (shown[9:15, 17:23] == gray).all()
    assert (shown[8:16, 16] == 255).all()
    assert (shown[7:17, 15] == 0).all()
    changed = (shown != frame).any(-1)
    changed[7:17, 15:25] = True
    assert changed.all()
    assert (frame == gray).all()
    with pytest.raises(ValueError, match=r'frame must be \(H, W, 3\)'):
        overlay_active(frame[..., 0], active)
    with pytest.raises(ValueError, match=r'active must be \(h, w\)'):
        overlay_active(frame, active[0])


@pytest.mark.parametrize('size', [(64, 96), (65, 97)])
def test_stream_frame_has_even_sides_and_both_views(size):
    frame = np.full((*size, 3), 100, np.uint8)
    history = [record(number, agree=1.0) for number in range(5)]
    image = compose_stream_frame(frame, None, history[-1], history)
    assert image.dtype == np.uint8
    assert image.shape[0] % 2 == 0 == image.shape[1] % 2
    assert image.shape[1] >= 2 * size[1]
    assert (image[60, 5] == 100).all()  # dense: as it is
    assert (image[60, size[1] + 20] == 100).all()  # gated: all active
    nothing = np.zeros((4, 4), bool)
    image = compose_stream_frame(frame, nothing, history[-1], history)
    assert (image[60, 5] == 100).all()
    assert (image[60, size[1] + 20] != 100).all()


def test_a_video_frame_survives_what_is_not_finite():
    frame = np.zeros((64, 64, 3), np.uint8)
    bad = dict(record(0), error=float('inf'))
    compose_stream_frame(frame, None, bad, [bad, record(1)])


def test_stream_figure():
    frame = np.zeros((32, 32, 3), np.uint8)
    records = [record(number) for number in range(8)]
    figure = draw_stream(
        records, [(1, frame, np.eye(4, dtype=bool)), (7, frame, None)], 'title'
    )
    frames = ['frame 1: 25 % active', 'frame 7: 100 % active']
    curves = ['latency', 'skip ratio', 'error of the last feature']
    assert [ax.get_title() for ax in figure.axes] == frames + curves
    assert figure_to_image(figure, 40).std() > 0


def test_sweep_figure():
    keys = ('threshold', 'error_mean', 'error_p95', 'speed_up', 'skip_ratio')
    rows = [dict(zip(keys, (t, t, 2 * t, 1 + t, t))) for t in (0.0, 0.1, 0.4)]
    rows.append(dict(rows[1], threshold=None, name='calibrated'))
    figure = draw_skip_sweep(rows, 'title')
    left, right = figure.axes
    assert left.get_title() == 'error against speed'
    assert len(right.lines) == 3
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ['one threshold', 'thresholds per layer']


def test_snapshots_are_spread_and_leave_out_the_first():
    expected = {10: [1, 5, 9], 2: [1], 1: [0], 0: []}
    assert {count: pick_snapshots(count) for count in expected} == expected
