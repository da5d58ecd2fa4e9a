# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the pictures of masks show, read back from the figures."""

import numpy as np
import pytest

from mask_plugins.visualization import (
    draw_mask_density,
    draw_mask_overlap,
    figure_to_image,
    save_figure,
)
from mask_plugins.visualization.mask_density import short_names, upper_limit
from mask_plugins.visualization.mask_overlap import INDICES

from .test_pictures import texts


def report(*rows):
    keys = 'name', 'kept', 'size', 'soft_density'
    masks = [dict(zip(keys, row), density=row[1] / row[2]) for row in rows]
    kept, size = (sum(m[key] for m in masks) for key in ('kept', 'size'))
    return dict(masks=masks, kept=kept, size=size, density=kept / size)


def test_density_by_layer():
    figure = draw_mask_density(
        report(
            ('backbone.conv1.weight', 10, 1000, 0.03),
            ('backbone.layer1.conv.weight', 0, 500, 0.02),
        ),
        'epoch 3',
    )
    assert {
        'epoch 3: 10 of 1,500 masked weights are kept', '10 of 1,000',
        'conv1', 'layer1.conv', 'empty: nothing is kept',
    } <= set(texts(figure))  # fmt: skip
    axes = figure.axes[0]
    hard, soft, empty = axes.lines[:3]
    assert hard.get_xdata().tolist() == [0.01, 0]
    assert soft.get_xdata().tolist() == [0.03, 0.02]
    assert empty.get_ydata().tolist() == [1]
    assert axes.get_xlim() == (0, pytest.approx(1.15 * 0.03))
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # first layer on top


def test_a_hard_mask_has_no_soft_one():
    figure = draw_mask_density(report(('a', 60, 100, 0.6)))
    found = ' '.join(texts(figure))
    assert 'soft' not in found
    assert 'empty' not in found
    assert figure.axes[0].get_xlim() == (0, 1)


def test_many_layers_stay_readable(tmp_path):
    rows = [(f'layer{i}.weight', i, 200, i / 200) for i in range(150)]
    figure = draw_mask_density(report(*rows))
    assert figure.get_figheight() > 0.15 * len(rows)
    path = save_figure(figure, str(tmp_path / 'a.png'), dpi=40)
    assert path.endswith('a.png')


@pytest.mark.parametrize(
    ('names', 'short'),
    [
        (['a.b.weight', 'a.c.weight'], ['b', 'c']),
        (['a.weight', 'a.bias'], ['weight', 'bias']),
        (['a.b.weight'], ['a.b.weight']),
        (['weight', 'a.weight'], ['weight', 'a.weight']),
        ([], []),
    ],
)
def test_short_names(names, short):
    assert short_names(names) == short


def test_upper_limit():
    assert upper_limit([0.9, 0.1]) == upper_limit([]) == upper_limit([0]) == 1
    assert upper_limit([0.1]) == pytest.approx(0.115)


def test_an_image_of_a_figure():
    figure = draw_mask_density(report(('a', 60, 100, 0.6)))
    image = figure_to_image(figure, dpi=50)
    assert image.dtype == np.uint8
    width, height = 50 * figure.get_size_inches()
    assert image.shape == (int(height), int(width), 3)
    assert image.min() < 100 < image.max()


KEYS = [f'{x}jaccard_{y}' for y in INDICES for x in ('', 'expected_')]


def overlap(names=('a', 'b', 'c'), missing=False):
    pairs = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            removed = [None, None] if missing else [0.7, 0.6]
            values = dict(zip(KEYS, [0.25, 0.2, *removed]))
            layers = [dict(values, name=f'x.{k}.weight') for k in range(4)]
            pairs.append(dict(a=a, b=b, total=values, layers=layers))
    return dict(names=list(names), pairs=pairs)


def test_overlap():
    figure = draw_mask_overlap(overlap())
    found = texts(figure)
    assert found.count('0.250\n(0.200)') == 6  # both sides of the diagonal
    assert found.count('0.700\n(0.600)') == 6
    assert 'a, c' in found
    lines = [line for axes in figure.axes for line in axes.lines]
    assert len(lines) == 6  # measured and expected, of three pairs
    assert lines[0].get_xdata().tolist() == [0.25] * 4
    assert lines[1].get_xdata().tolist() == [0.2] * 4


def test_overlap_of_many_and_of_empty():
    figure = draw_mask_overlap(overlap('abcdef', missing=True))
    found = texts(figure)
    assert any('9 more pairs in the JSON' in text for text in found)
    assert not any('None' in text for text in found)
