# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the pictures show, read back from the figures."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from mask_plugins import visualization as vis
from mask_plugins.visualization.figure import thin, time_unit
from mask_plugins.visualization.patches import (
    check_comparable,
    kept_patches,
    to_picture,
)


def record(**changes):
    """Two 4x4 images in patches of 2; at ratio 0.5 patch 3 or 0 is kept."""
    images = np.repeat([0.0, 1.0], 48).reshape(2, 3, 4, 4)
    content = dict(
        drop_ratios=[0.0, 0.5],
        images=images.tolist(),
        targets=[1, 0],
        kept_patches=[
            [[0] * 5 + [1] * 5, [0, 4, 3, 2, 1, 0, 1, 2, 3, 4]],
            [[0, 0, 1, 1], [0, 4, 0, 1]],
        ],
        logits=[[[0.0, np.log(3)], [5.0, 0.0]]] * 2,
        class_to_idx={'cat': 0, 'dog': 1},
        mean=[100.0],
        std=[50.0],
    )
    content.update(changes)
    return content


def sweep(*pairs):
    return [
        dict(drop_ratio=d, acc1=a, throughput=100 / (1 - d)) for d, a in pairs
    ]


def texts(figure):
    """All that is written in a figure."""
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text)]


def test_kept_patches_leaves_the_class_token_out():
    assert kept_patches(record(), 1, 0).tolist() == [False] * 3 + [True]
    assert kept_patches(record(), 1, 1).tolist() == [True] + [False] * 3
    assert kept_patches(record(), 0, 0).all()


def test_normalization_and_channels_are_undone():
    assert np.allclose(to_picture(record(), 1), 150 / 255)
    images = [[[[0.0]], [[1.0]], [[2.0]]]]
    content = record(images=images, channel_order='bgr')
    assert np.allclose(to_picture(content, 0)[0, 0] * 255, [200, 150, 100])


def test_grid_tells_class_and_softmax_probability():
    figure = vis.draw_patch_grid(record())
    assert len(figure.axes) == 4
    # log 3 : 0 is 3 : 1
    assert {'dog (75.0 %)', 'cat (99.3 %)', 'true: dog'} <= set(texts(figure))
    # Three frames around the three dropped patches.
    frames = [len(a.collections[0].get_paths()) for a in figure.axes]
    assert frames == [0, 3, 0, 3]


def test_a_wrong_class_is_told_without_its_color():
    shown = set(texts(vis.draw_patch_grid(record(targets=[0, 0]))))
    assert {'✗ dog (75.0 %)', 'cat (99.3 %)'} <= shown


def test_grid_takes_the_original_schema():
    content = record()
    for key in ('mean', 'std', 'class_to_idx'):
        del content[key]
    assert 'class 1 (75.0 %)' in texts(vis.draw_patch_grid(content))


def test_comparison_shows_models_in_rows():
    records = [record(name='a'), record(name='b')]
    check_comparable(records)
    figure = vis.draw_patch_comparison(records, 1)
    assert {'a', 'b', 'true: cat'} <= set(texts(figure))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(drop_ratios=[0.0, 0.4]), 'drop ratios'),
        (dict(images=record()['images'][:1]), 'has 1 images'),
        (dict(images=record()['images'][::-1]), 'image 0 of other'),
    ],
)
def test_comparison_of_other_images_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        check_comparable([record(), record(name='other', **change)])


def test_sweep_runs_from_all_tokens_to_few():
    records = sweep((0.8, 60.0), (0.0, 80.0), (0.4, 75.0))
    left, right = vis.draw_sweep({'model': records}).axes
    line = left.lines[0]
    assert np.allclose(line.get_xdata(), [0.0, 0.4, 0.8])
    assert line.get_ydata().tolist() == [80.0, 75.0, 60.0]
    assert right.get_ylim()[0] == 0
    assert {'100', '167', '500'} <= {t.get_text() for t in right.texts}


def test_distribution_is_in_percent_of_images():
    counts = [[4, 4, 4, 4], [4, 0, 1, 2]]
    data = dict(drop_ratios=[0.0, 0.5], counts=counts, grid=[2, 2])
    figure = vis.draw_patch_distribution(dict(data, num_images=4))
    # Ratio 0 keeps everything everywhere: there is nothing to see.
    (panel,) = (a for a in figure.axes if a.images)
    share = panel.images[0].get_array()
    assert share.tolist() == [[100, 0], [25, 50]]


def test_schedules_are_drawn_as_drop_ratio():
    epoch = np.arange(41) / 20
    cyclic = np.tile([0.8, 0.8, 0.4, 0.4, 0.0] * 2, 4)
    schedules = [
        dict(name='flat', epoch=epoch, value=np.full(41, 0.4), cycle=None),
        dict(name='cyclic', epoch=epoch, value=[*cyclic, 0.8], cycle=1.0),
    ]
    run, cycle = vis.draw_schedules(schedules).axes
    assert np.allclose(run.lines[0].get_ydata(), 0.4)
    assert np.isclose(run.lines[1].get_ydata().max(), 0.8)
    assert cycle.lines[1].get_xdata().max() == 1.0
    # Many cycles become a band, here from 0 to 0.8.
    many = dict(schedules[1], cycle=0.1)
    run = vis.draw_schedules([many]).axes[0]
    assert not run.lines
    assert run.collections[0].get_datalim(run.transData).y1 == 0.8


def test_other_quantities_are_drawn_as_they_are():
    epoch = np.arange(3)
    curve = dict(name='t', epoch=epoch, value=[1, 10, 100], cycle=None)
    axes = vis.draw_schedules([curve], 'temperature').axes[0]
    assert axes.lines[0].get_ydata().tolist() == [1, 10, 100]
    assert axes.get_ylabel() == 'temperature'


def test_train_times_label_each_segment():
    segments = [
        dict(first=0, last=1, drop_ratio=0.8, mean_ms=12.5),
        dict(first=2, last=3, drop_ratio=None, mean_ms=200.0),
    ]
    run = dict(
        name='run', epoch=1, iteration=[0, 1, 2, 3], ms=[12, 13, 200, 200],
        segments=segments,
    )  # fmt: skip
    written = set(texts(vis.draw_train_times([run])))
    assert {'12.5\n$d$ 0.8', '200', 'run (epoch 2)'} <= written


def test_overview_says_what_was_reached_and_when():
    curve = dict(name='run', epoch=[1, 2], hours=[1.0, 2.0], value=[50, 60])
    figure = vis.draw_overview([curve], {'run': sweep((0.0, 60.0))})
    assert 'run: 60.00 % in 2.0 h' in texts(figure)
    assert len(figure.axes) == 2
    assert len(vis.draw_overview([curve]).axes) == 1


def test_curves_choose_a_unit_that_reads_well():
    assert time_unit(3) == (1, 'h')
    assert time_unit(0.01) == (3600, 's')
    curve = dict(name='run', epoch=[1], hours=[0.1], value=[0.5])
    right = vis.draw_curves([curve], 'loss').axes[1]
    assert right.get_xlabel() == 'training time [min]'
    assert np.isclose(right.lines[0].get_xdata()[0], 6)


def test_curves_draw_raw_values_and_spread():
    n = 10_000
    curve = dict(
        name='run', epoch=np.arange(n), hours=np.arange(n), value=np.ones(n),
        raw=np.ones(n), spread=np.full(n, 0.5),
    )  # fmt: skip
    left = vis.draw_curves([curve], 'loss').axes[0]
    assert len(left.lines[0].get_xdata()) < n
    assert left.lines[0].get_xdata()[-1] == n - 1
    assert len(left.collections) == 1
    assert len(thin(range(5))) == 5


def test_files_are_whole_and_fonts_truetype(tmp_path):
    figure = vis.draw_sweep({'model': sweep((0.0, 80.0))})
    png, pdf = (tmp_path / 'new' / f'a.{kind}' for kind in ('png', 'pdf'))
    for path in (png, pdf):
        assert vis.save_figure(figure, path) == str(path)
    assert {*png.parent.iterdir()} == {png, pdf}
    content = pdf.read_bytes()
    assert b'/FontFile2' in content
    assert b'/Type3' not in content
    height = matplotlib.image.imread(png).shape[0]
    assert height == round(figure.get_figheight() * 300)
    with pytest.raises(ValueError, match='jpg'):
        vis.save_figure(figure, str(tmp_path / 'a.jpg'))


def test_no_global_state(tmp_path):
    before = dict(matplotlib.rcParams)
    assert isinstance(vis.draw_sweep({'m': sweep((0.0, 1.0))}), Figure)
    assert dict(matplotlib.rcParams) == before
    code = (
        'import sys, mask_plugins.visualization;'
        'sys.exit("matplotlib.pyplot" in sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=tmp_path)
