# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Draw textured objects that move over a textured background."""

from typing import NamedTuple, Tuple

import numpy as np

SHAPES = ('disc', 'square', 'triangle', 'cross', 'ring')
TEXTURES = ('stripes', 'checks')
CLASSES = tuple(f'{t} {s}' for t in TEXTURES for s in SHAPES)


class Sprite(NamedTuple):
    """A square cut-out and where it is in each frame.

    Args:
        pixels (np.ndarray): ``(S, S, 3)``, gray values.
        shape (np.ndarray): ``(S, S)``, True where the object is.
        corners (np.ndarray): ``(T, 2)`` int, row and column of the corner.
    """

    pixels: np.ndarray
    shape: np.ndarray
    corners: np.ndarray


def draw_background(
    rng: np.random.Generator, height: int, width: int
) -> np.ndarray:
    """Smooth noise of three scales, ``(H, W, 3)`` float32 in 40..200."""
    import cv2  # comes with mmcv, which this floor does not need

    image = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((4, 0.5), (16, 0.3), (48, 0.2)):
        coarse = rng.random((cells, cells, 3), dtype=np.float32)
        image += weight * cv2.resize(
            coarse, (width, height), interpolation=cv2.INTER_LINEAR
        )
    return 40 + 160 * image


def draw_object(
    rng: np.random.Generator, label: int, size: int
) -> Tuple[np.ndarray, np.ndarray]:
    """One object of a class: its pixels and where it covers them.

    Args:
        rng (np.random.Generator): Colors are drawn from it.
        label (int): Index in :data:`CLASSES`.
        size (int): Side S in pixels.

    Returns:
        tuple[np.ndarray]: ``(S, S, 3)`` float32 and ``(S, S)`` bool.
    """
    texture, shape = CLASSES[label].split()
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1  # -1..1
    cells = 4  # bright and dark cells across the object
    u, v = ((np.clip(c, -1, 0.999) + 1) / 2 * cells for c in (y, x))
    bright = np.floor(u) % 2 == 0
    if texture == 'checks':
        bright ^= np.floor(v) % 2 == 0
    colors = rng.uniform((0, 0, 0), (70, 70, 70), (2, 3))
    colors[1] = 255 - colors[1]
    pixels = colors[bright.astype(int)].astype(np.float32)
    radius = np.hypot(y, x)
    inside = {
        'disc': radius <= 1,
        'square': np.ones_like(radius, dtype=bool),
        'triangle': np.abs(x) <= (y + 1) / 2,
        'cross': np.minimum(np.abs(x), np.abs(y)) <= 1 / 3,
        'ring': (radius <= 1) & (radius >= 0.5),
    }[shape]
    return pixels, inside


def draw_path(
    rng: np.random.Generator,
    frames: int,
    speed: Tuple[float, float],
    room: Tuple[int, int],
) -> np.ndarray:
    """A straight path that is reflected at the borders.

    Args:
        rng (np.random.Generator): Start, direction and speed.
        frames (int): T.
        speed (tuple[float]): Least and greatest, in pixels per frame.
        room (tuple[int]): Greatest row and column of the corner.

    Returns:
        np.ndarray: ``(T, 2)`` int, within 0..room.
    """
    room = np.asarray(room, float)
    start = rng.uniform(0, 1, 2) * room
    angle = rng.uniform(0, 2 * np.pi)
    step = rng.uniform(*speed) * np.array([np.sin(angle), np.cos(angle)])
    way = start + np.arange(frames)[:, None] * step
    # Reflection unfolded: a triangle wave of twice the room.
    period = np.maximum(2 * room, 1e-9)
    way = room - np.abs(way % period - room)
    return np.round(np.clip(way, 0, room)).astype(int)


def compose(
    background: np.ndarray, sprites: Tuple[Sprite, ...], frame: int
) -> np.ndarray:
    """One frame, later sprites over earlier ones.

    Args:
        background (np.ndarray): ``(H, W, 3)``; not changed.
        sprites (tuple[Sprite]): What moves.
        frame (int): Which.

    Returns:
        np.ndarray: ``(H, W, 3)`` float32.
    """
    image = background.copy()
    for pixels, shape, corners in sprites:
        top, left = corners[frame]
        size = len(shape)
        view = image[top : top + size, left : left + size]
        view[shape] = pixels[shape]
    return image
