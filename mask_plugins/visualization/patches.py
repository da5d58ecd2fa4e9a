# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Images with the patches that are kept."""

import textwrap
from typing import Any, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .figure import as_picture, new_figure, note, styled

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
RIGHT, WRONG = '#00693C', '#B22222'

Record = Mapping[str, Any]


def to_picture(record: Record, index: int) -> np.ndarray:
    """Undo the normalization of an image.

    Args:
        record (Mapping): The content of ``image_patches.json``. Without
            ``mean``, ``std`` and ``channel_order``, as the original writes
            it, those of ImageNet and RGB are taken.
        index (int): Which image.

    Returns:
        np.ndarray: :math:`(h, w, 3)`, RGB, in [0, 1].
    """
    image = np.asarray(record['images'][index], dtype=float)  # 3, h, w
    mean = np.asarray(record.get('mean', IMAGENET_MEAN)).reshape(-1, 1, 1)
    std = np.asarray(record.get('std', IMAGENET_STD)).reshape(-1, 1, 1)
    image = ((image * std + mean) / 255).clip(0, 1)
    if len(image) == 1:
        image = image.repeat(3, axis=0)
    if record.get('channel_order', 'rgb') == 'bgr':
        image = image[::-1]
    return image.transpose(1, 2, 0)


def kept_patches(record: Record, ratio: int, index: int) -> np.ndarray:
    """Which patches of an image are kept at ratio number ``ratio``.

    Returns:
        np.ndarray: bool, :math:`(P,)`. The class token is left out.
    """
    rows, tokens = (np.asarray(part) for part in record['kept_patches'][ratio])
    prefix = record.get('num_prefix_tokens', 1)
    tokens = tokens[rows == index]
    kept = np.zeros(int(np.prod(grid_of(record))), dtype=bool)
    kept[tokens[tokens >= prefix] - prefix] = True
    return kept


def grid_of(record: Record) -> Tuple[int, int]:
    """Rows and columns of patches; a square where the record is silent."""
    if 'grid' in record:
        return tuple(record['grid'])
    prefix = record.get('num_prefix_tokens', 1)
    tokens = max(max(pair[1]) for pair in record['kept_patches']) + 1
    side = round((tokens - prefix) ** 0.5)
    return side, side


def whiten(picture: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    """Blend dropped patches with light gray: 20 % image, 80 % gray.

    Args:
        picture (np.ndarray): :math:`(h, w, 3)` in [0, 1].
        dropped (np.ndarray): bool, :math:`(rows, columns)` of the grid.

    Examples:
        >>> dropped = np.array([[True, False]])
        >>> whiten(np.zeros((1, 2, 3)), dropped)[..., 0].round(2).tolist()
        [[0.68, 0.0]]
    """
    height, width = picture.shape[:2]
    rows = np.arange(height) * dropped.shape[0] // height
    columns = np.arange(width) * dropped.shape[1] // width
    pale = dropped[rows][:, columns, None]
    return np.where(pale, 0.2 * picture + 0.8 * 0.85, picture)


def draw_dropped(axes: Axes, picture: np.ndarray, dropped: np.ndarray) -> None:
    """Draw a picture whose dropped patches are pale and hatched.

    The hatch tells dropped patches from kept ones that are white or black
    themselves, and needs no color.

    Args:
        axes (Axes): Where to draw; grid and ticks are taken off.
        picture (np.ndarray): :math:`(h, w, 3)` in [0, 1].
        dropped (np.ndarray): bool, :math:`(rows, columns)` of the grid.

    Examples:
        >>> axes = new_figure(2, 2).subplots()
        >>> draw_dropped(axes, np.ones((4, 4, 3)), np.eye(2, dtype=bool))
        >>> len(axes.collections[0].get_paths())
        2
    """
    height, width = picture.shape[:2]
    axes.imshow(
        whiten(picture, dropped),
        extent=(0, width, height, 0),
        interpolation='nearest' if width < 128 else 'antialiased',
    )
    high, wide = height / dropped.shape[0], width / dropped.shape[1]
    frames = [
        Rectangle((column * wide, row * high), wide, high)
        for row, column in np.argwhere(dropped)
    ]
    style = dict(facecolor='none', edgecolor='0.45', linewidth=0.35)
    axes.add_collection(PatchCollection(frames, hatch='////', **style))
    as_picture(axes)


def softmax(logits: Sequence[float]) -> np.ndarray:
    """Probabilities of the classes.

    Examples:
        >>> softmax([0.0, 0.0]).tolist()
        [0.5, 0.5]
    """
    exp = np.exp(np.subtract(logits, max(logits)))
    return exp / exp.sum()


@styled
def draw_patch_grid(record: Record) -> Figure:
    """Draw images (rows) at all drop ratios (columns).

    Args:
        record (Mapping): The content of ``image_patches.json``.

    Returns:
        Figure: Dropped patches are pale and hatched; above each the predicted
        class and its softmax probability, green where right.

    Examples:
        >>> record = dict(drop_ratios=[0.0], images=np.zeros((1, 3, 4, 4)),
        ...               targets=[1], logits=[[[0.0, 1.0]]],
        ...               kept_patches=[[[0] * 5, [0, 1, 2, 3, 4]]])
        >>> draw_patch_grid(record).axes[0].get_title()
        'class 1 (73.1 %)'
    """
    rows = [(record, index) for index in range(len(record['images']))]
    labels = [_true_name(record, index) for _, index in rows]
    return _draw(rows, labels)


@styled
def draw_patch_comparison(records: Sequence[Record], index: int) -> Figure:
    """Draw one image as several models (rows) see it.

    Args:
        records (Sequence[Mapping]): Contents of ``image_patches.json`` of the
            models, with the same images and drop ratios.
        index (int): Which image.

    Examples:
        >>> record = dict(drop_ratios=[0.0], images=np.zeros((1, 3, 4, 4)),
        ...               targets=[1], logits=[[[0.0, 1.0]]],
        ...               kept_patches=[[[0] * 5, [0, 1, 2, 3, 4]]])
        >>> len(draw_patch_comparison([record, record], 0).axes)
        2
    """
    rows = [(record, index) for record in records]
    names = [
        record.get('name', f'model {number}')
        for number, record in enumerate(records, 1)
    ]
    figure = _draw(rows, names)
    figure.suptitle(_true_name(records[0], index), fontsize=10)
    return figure


def check_comparable(records: Sequence[Record]) -> None:
    """Raise unless the records show the same images at the same ratios.

    Raises:
        ValueError: If they do not.
    """
    first = records[0]
    ratios, count = list(first['drop_ratios']), len(first['images'])
    for number, other in enumerate(records[1:], 2):
        name = other.get('name', f'number {number}')
        found = list(other['drop_ratios']), len(other['images'])
        if found != (ratios, count):
            raise ValueError(
                f'{name} has {found[1]} images at the drop ratios {found[0]}, '
                f'the first has {count} at {ratios}: collect them alike'
            )
        for index in range(count):
            a, b = to_picture(first, index), to_picture(other, index)
            if a.shape == b.shape and np.abs(a - b).max() > 0.02:
                raise ValueError(
                    f'image {index} of {name} is not that of the first: '
                    'give the same --indices or --images'
                )


def _draw(rows: Sequence[Tuple[Record, int]], labels: List[str]) -> Figure:
    ratios = rows[0][0]['drop_ratios']
    height, width = np.asarray(rows[0][0]['images'][0]).shape[-2:]
    size = 1.35
    figure = new_figure(
        size * len(ratios) + 0.5,
        (size * height / width + 0.22) * len(rows) + 0.6,
    )
    panels = figure.subplots(len(rows), len(ratios), squeeze=False)
    for line, (record, index) in enumerate(rows):
        picture = to_picture(record, index)
        for column in range(len(ratios)):
            axes = panels[line, column]
            kept = kept_patches(record, column, index)
            draw_dropped(axes, picture, ~kept.reshape(grid_of(record)))
            _title(axes, record, column, index)
            if line == 0:
                head = f'$d$ = {ratios[column]:g}'
                style = dict(xycoords='axes fraction', fontsize=10)
                note(axes, head, (0.5, 1), (0, 14), **style)
        label = '\n'.join(textwrap.wrap(labels[line], 24)[:3])
        panels[line, 0].set_ylabel(label, fontsize=8)
    figure.supxlabel(
        'columns: drop ratio $d$; above each picture: predicted class '
        '(probability), with a cross where it is wrong',
        fontsize=8,
    )
    return figure


def _title(axes: Axes, record: Record, ratio: int, index: int) -> None:
    probabilities = softmax(record['logits'][ratio][index])
    best, target = int(probabilities.argmax()), record['targets'][index]
    color = {None: 'black', best: RIGHT}.get(target, WRONG)
    name = _class_name(record, best).split(',')[0]
    name = name if len(name) <= 15 else f'{name[:14]}…'
    text = f'{name} ({100 * probabilities[best]:.1f} %)'
    if color == WRONG:  # red and green look alike to some
        text = f'✗ {text}'
    axes.set_title(text, fontsize=7.5, color=color, pad=2.5)


def _true_name(record: Record, index: int) -> str:
    target = record['targets'][index]
    if target is None:
        return 'class unknown'
    return f'true: {_class_name(record, target)}'


def _class_name(record: Record, number: int) -> str:
    names = record.get('class_to_idx') or {}
    found = (name for name, value in names.items() if value == number)
    return next(found, f'class {number}')
