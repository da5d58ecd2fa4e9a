# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Frames of a demonstration video: what was computed again, and how fast."""

from typing import Mapping, Optional, Sequence

import numpy as np

from .patches import whiten

# Okabe and Ito's, as RGB.
DENSE = (86, 180, 233)
GATED = (240, 228, 66)
TEXT = (235, 235, 235)
PAPER = (24, 24, 24)
HEADER, STRIP = 44, 66
# Frames that the curves are wide.
SPAN = 120
#: Frames over which the rate is measured.
MEAN = 20


def overlay_active(frame: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Pale what was skipped, and outline what was computed again.

    The outline is white within black, which shows on any picture.

    Args:
        frame (np.ndarray): uint8 RGB, :math:`(H, W, 3)`.
        active (np.ndarray): bool, :math:`(h, w)`, of any patch size: the
            grid is stretched over the frame.

    Returns:
        np.ndarray: A new frame of the same size.

    Raises:
        ValueError: If the shapes are others.
    """
    import cv2

    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f'frame must be (H, W, 3), got {frame.shape}')
    if active.ndim != 2 or not active.size:
        raise ValueError(f'active must be (h, w), got {active.shape}')
    grid, size = active.astype(np.uint8), frame.shape[1::-1]
    grid = cv2.resize(grid, size, interpolation=cv2.INTER_NEAREST)
    shown = whiten(frame.astype(np.float32) / 255, ~grid.astype(bool))
    shown = (255 * shown).round().astype(np.uint8)
    around = np.ones((3, 3), np.uint8)
    shown[cv2.dilate(grid, around) > grid] = 0
    shown[cv2.erode(grid, around) < grid] = 255
    return shown


def compose_stream_frame(
    frame: np.ndarray,
    active: Optional[np.ndarray],
    record: Mapping[str, float],
    history: Sequence[Mapping[str, float]],
) -> np.ndarray:
    """Dense on the left, gated on the right, three curves below.

    Args:
        frame (np.ndarray): uint8 RGB, :math:`(H, W, 3)`.
        active (np.ndarray, optional): bool, :math:`(h, w)`; None: all of it.
        record (Mapping): Of this frame: ``dense_ms``, ``gated_ms``,
            ``skip_ratio``, ``error`` (relative L2) and, if there is one,
            ``agree`` (0 or 1).
        history (Sequence[Mapping]): Records up to this frame, which the
            curves show.

    Returns:
        np.ndarray: uint8 RGB; both sides are even, as codecs ask for.
    """
    height, width = frame.shape[:2]
    if active is None:
        active = np.ones((1, 1), bool)
    size = (HEADER + height + 3 * STRIP, 2 * width + 4, 3)
    canvas = np.full(size, PAPER, np.uint8)
    views = canvas[HEADER : HEADER + height]
    views[:, :width] = frame
    views[:, width + 4 :] = overlay_active(frame, active)
    scale = min(0.55, width / 620)
    rates = {
        key: len(last) / max(sum(row[f'{key}_ms'] for row in last), 1e-9)
        for last in [list(history)[-MEAN:] or [record]]
        for key in ('dense', 'gated')
    }
    named = {k: f'{k}  {1000 * v:.1f} frames/s' for k, v in rates.items()}
    _put(canvas, named['dense'], (8, 28), DENSE, scale)
    parts = [
        named['gated'],
        f'skip {100 * record["skip_ratio"]:.0f} %',
        f'error {100 * record["error"]:.1f} %',
    ]
    if 'agree' in record:
        parts.append('agrees' if record['agree'] else 'DIFFERS')
    _put(canvas, '  '.join(parts), (width + 12, 28), GATED, scale)
    curves = (
        ('ms per frame', (('dense_ms', DENSE), ('gated_ms', GATED)), None),
        ('skip ratio', (('skip_ratio', GATED),), 1.0),
        ('relative L2 error', (('error', GATED),), None),
    )
    shown = list(history)[-SPAN:]
    for number, (title, lines, top) in enumerate(curves):
        begin = HEADER + height + number * STRIP
        _strip(canvas[begin : begin + STRIP], title, lines, shown, top)
    return canvas[: canvas.shape[0] // 2 * 2, : canvas.shape[1] // 2 * 2]


def _strip(area: np.ndarray, title: str, lines, records, top) -> None:
    """Draw one chart into a strip of the canvas."""
    import cv2

    height, width = area.shape[:2]
    values = np.array([[row[key] for row in records] for key, _ in lines])
    if top is None:
        top = 1.1 * values[np.isfinite(values)].max(initial=0) or 1.0
    area[-1] = 70
    x = np.arange(len(records)) * (width - 1) / (SPAN - 1)
    for row, (_, color) in zip(values, lines):
        share = np.nan_to_num(row / top).clip(0, 1)
        y = (height - 4) - share * (height - 22)
        points = np.stack([x, y], axis=1).round().astype(np.int32)
        cv2.polylines(area, [points], False, color, 1, cv2.LINE_AA)
    _put(area, f'{title}  (top {top:.3g})', (8, 14), TEXT, 0.4)


def _put(canvas: np.ndarray, text: str, at, color, scale: float) -> None:
    import cv2

    style = (cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
    cv2.putText(canvas, text, at, *style)
