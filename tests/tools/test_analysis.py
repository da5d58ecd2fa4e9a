# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The analysis tools through their command lines."""

import itertools
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from mask_plugins.utils.files import (
    read_json,
    read_json_lines,
    write_json,
    write_json_lines,
)
from tests.analysis.test_run_columns import grid
from tests.analysis.test_run_comparison import CONFIG
from tests.common.tools import call_tool
from tests.evaluation.models import PSS, RESNET, write_model
from tests.evaluation.runs import write_run

PNG = b'\x89PNG'


def call(tool, *args):
    call_tool(f'analysis/{tool}', *args)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_picture(path, start=PNG):
    assert path.read_bytes().startswith(start)


# -------------------------------------------------------------- of a model
def test_sweep_drop_as_a_process(tmp_path, repo_root):
    config, checkpoint = write_model(tmp_path)
    script = repo_root / 'tools' / 'analysis' / 'sweep_drop.py'
    options = '--limit 20 --drop-ratios 0.6 0 --device cpu --html'.split()
    done = subprocess.run(
        [sys.executable, script, config, checkpoint, *options],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 'sweep_drop.json' in done.stdout
    assert '20 images' in done.stdout
    assert '1/1' in done.stderr  # progress, in lines where there is no screen
    # Next to the checkpoint, and nothing else there.
    assert names(tmp_path) == [
        'sweep_drop.html', 'sweep_drop.json', 'sweep_drop.png', 'tiny.pth',
        'tiny.py',
    ]  # fmt: skip
    report = (tmp_path / 'sweep_drop.html').read_text()
    assert 'python tools/analysis/sweep_drop.py' in report
    assert '--drop-ratios 0.6 0' in report
    records = read_json_lines(str(tmp_path / 'sweep_drop.json'))
    assert [r['drop_ratio'] for r in records] == [0, 0.6]
    assert set(records[0]) == {
        'drop_ratio', 'acc1', 'acc5', 'loss', 'time', 'throughput', 'tokens',
        'flops', 'images',
    }  # fmt: skip
    assert_picture(tmp_path / 'sweep_drop.png')


def test_a_checkpoint_whose_classes_have_other_numbers(tmp_path):
    config, checkpoint = write_model(tmp_path)
    classes = ['1', '0', *'23456789']
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save({**torch.load(checkpoint), 'meta': meta}, checkpoint)
    with pytest.raises(SystemExit, match="class '0' has the number 1 in the"):
        call('sweep_drop', config, checkpoint, '--limit', '20')
    assert names(tmp_path) == ['tiny.pth', 'tiny.py']


def test_image_patches_and_comparison(tmp_path, capsys):
    for name in 'ab':
        paths = write_model(tmp_path / name, PSS, name)
        call('image_patches', *paths, '--indices', 3, 5, '--device', 'cpu')
    assert 'drop 0.8' in capsys.readouterr().out
    record = read_json(str(tmp_path / 'a' / 'image_patches.json'))
    assert record['drop_ratios'] == [0, 0.2, 0.4, 0.6, 0.8]
    assert np.shape(record['images']) == (2, 3, 16, 16)
    assert np.shape(record['logits']) == (5, 2, 10)
    assert record['class_to_idx']['7'] == 7
    assert record['indices'] == [3, 5]
    assert_picture(tmp_path / 'a' / 'image_patches.png')
    found = [tmp_path / name / 'image_patches.json' for name in 'ab']
    out = tmp_path / 'out'
    call('image_patches', '--compare', *found, '--out', out)
    assert names(out) == [
        'image_patches_comp-0.png', 'image_patches_comp-1.png',
    ]  # fmt: skip
    content = read_json(str(found[1]))
    content['images'].reverse()
    write_json(str(found[1]), content)
    with pytest.raises(SystemExit, match='image 0 of b'):
        call('image_patches', '--compare', *found, '--out', tmp_path / 'no')
    assert not (tmp_path / 'no').exists()


def test_image_patches_of_files(tmp_path):
    paths = write_model(tmp_path)
    image = np.zeros((40, 30, 3), np.uint8)
    image[:, :, 0] = 255  # blue, to OpenCV
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    out = '--out', tmp_path / 'out', '--format', 'pdf'
    call('image_patches', *paths, '--images', tmp_path / 'a.png', *out)
    record = read_json(str(tmp_path / 'out' / 'image_patches.json'))
    assert np.shape(record['images']) == (1, 3, 16, 16)
    assert record['targets'] == [None]
    assert record['channel_order'] == 'bgr'
    assert_picture(tmp_path / 'out' / 'image_patches.pdf', b'%PDF')
    (tmp_path / 'b.png').write_text('no image')
    with pytest.raises(SystemExit, match=r'b\.png is not an image'):
        call('image_patches', *paths, '--images', tmp_path / 'b.png')


def test_patch_distribution(tmp_path):
    paths = write_model(tmp_path)
    call('patch_distribution', *paths, '--limit', 10, '--drop-ratios', 0.5)
    data = read_json(str(tmp_path / 'patch_distribution.json'))
    assert data['num_images'] == 10
    assert np.shape(data['counts']) == (1, 16)
    assert_picture(tmp_path / 'patch_distribution.png')


def test_bad_input_of_model_tools_writes_nothing(tmp_path, capsys):
    paths = config, checkpoint = write_model(tmp_path / 'a')
    _, other = write_model(tmp_path / 'b', dict(PSS, patch_size=2), 'other')
    resnet = write_model(tmp_path / 'c', RESNET)
    (tmp_path / 'file').write_text('')
    before = sorted(tmp_path.rglob('*'))
    cases = {
        'do not fit': (config, other),
        'cannot drop tokens': resnet,
        r'file not found: .*none\.pth': (config, tmp_path / 'none.pth'),
        r'file not found: .*none\.py': (tmp_path / 'none.py', checkpoint),
        'is a file, not a': (*paths, '--out', tmp_path / 'file'),
        'KEY=VALUE': (*paths, '--cfg-options', 'model'),
    }
    for tool in ('sweep_drop', 'image_patches', 'patch_distribution'):
        for message, args in cases.items():
            with pytest.raises(SystemExit, match=message):
                call(tool, *args)
        for ratio in ('1', '-0.1', 'x', 'nan'):
            with pytest.raises(SystemExit):
                call(tool, config, checkpoint, '--drop-ratios', ratio)
            assert r'number in [0, 1)' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='got 364'):
        call('image_patches', config, checkpoint, '--indices', '364')
    assert sorted(tmp_path.rglob('*')) == before


# -------------------------------------------------------------- of schedules
def test_plot_schedules(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, _ = write_model(tmp_path / 'm')
    (tmp_path / 'a.py').write_text(
        f"_base_ = ['{config}']\n"
        "custom_hooks = [dict(type='mask_plugins.PSSHook')]\n"
        'train_cfg = dict(max_epochs=2)\n'
    )
    call('plot_schedules', 'a.py', '--iters-per-epoch', 45)
    assert '22.22' in capsys.readouterr().out
    (summary,) = read_json('work_dirs/a/plot_schedules.json')
    tokens = [level['tokens'] for level in summary['levels']]
    assert tokens == [3, 7, 10, 14, 17]
    assert 0.5 < summary['mac_share'] < 0.8
    assert_picture(tmp_path / 'work_dirs' / 'a' / 'plot_schedules.png')
    with pytest.raises(SystemExit, match='--iters-per-epoch'):
        call('plot_schedules', 'a.py')
    schedule = '--schedule', 'type=LinearSchedule', 'end=0.0'
    length = '--epochs', 5, '--iters-per-epoch', 8, '--out', 'b'
    call('plot_schedules', *schedule, 'start=0.8', 'quantum=0.2', *length)
    (summary,) = read_json('b/plot_schedules.json')
    assert summary['max_iters'] == 40
    assert 'tokens' not in summary['levels'][0]
    with pytest.raises(SystemExit, match='start'):
        call('plot_schedules', *schedule, 'start=x', '--out', 'c')
    assert not (tmp_path / 'c').exists()


# ------------------------------------------------------------------ of logs
def test_plot_training(tmp_path, capsys):
    a = write_run(tmp_path / 'a')
    b = write_run(tmp_path / 'b', schedule=False)
    sweep = [dict(drop_ratio=0.2, acc1=79, throughput=101)]
    write_json_lines(str(tmp_path / 'a' / 'sweep_drop.json'), sweep)
    call('plot_training', a, b, '--names', 'cyclic', 'baseline')
    assert '5.00' in capsys.readouterr().out  # 1000 ms / 200 ms
    pictures = [
        'overview.png', 'train_times.png', 'training_loss.png',
        'validation_accuracy.png', 'validation_loss.png',
    ]  # fmt: skip
    others = {'a', 'b', 'training_summary.json'}
    assert set(names(tmp_path)) == others.union(pictures)
    for name in pictures:
        assert_picture(tmp_path / name)
    summary = read_json(str(tmp_path / 'training_summary.json'))
    assert [one['name'] for one in summary] == ['cyclic', 'baseline']
    assert summary[0]['acc1_best'] == 80


def test_plot_training_without_validation(tmp_path):
    run = write_run(tmp_path / 'a', epochs=1)
    (tmp_path / 'a' / 'val_log.json').unlink()
    call('plot_training', run)
    assert names(tmp_path / 'a') == [
        'train_log.json', 'train_times.png', 'training_loss.png',
        'training_summary.json',
    ]  # fmt: skip


def test_plot_training_with_bad_logs_writes_nothing(tmp_path):
    run = write_run(tmp_path / 'a')
    with pytest.raises(SystemExit, match=r'no train_log\.json'):
        call('plot_training', run, tmp_path)
    log = tmp_path / 'a' / 'train_log.json'
    log.write_text(log.read_text() + '{"epoch": 3, "iter\n')
    with pytest.raises(SystemExit, match=r'train_log\.json, line 31'):
        call('plot_training', run)
    assert names(tmp_path / 'a') == ['train_log.json', 'val_log.json']


def test_logs_of_a_killed_run(tmp_path, capsys):
    config = CONFIG.format(seed=0, lr=1)
    run = write_run(tmp_path / 'a', epochs=2, config=config)
    log = tmp_path / 'a' / 'train_log.json'
    log.write_text(log.read_text() + '{"epoch": 2, "iter')
    note = 'line 21 is cut, and left out'
    call('plot_training', run)
    assert note in capsys.readouterr().out
    call('compare_runs', run, '--include-unfinished')
    printed = capsys.readouterr().out
    assert note in printed
    assert 'a is unfinished (epoch 2 of 3)' in printed
    comparison = read_json(str(tmp_path / 'a' / 'compare_runs.json'))
    assert [group['n'] for group in comparison['groups']] == [1]


def test_compare_runs(tmp_path, capsys):
    runs = []
    for lr, seed in itertools.product((1, 2), range(3)):
        folder = tmp_path / f'lr{lr}-seed{seed}'
        config, best = CONFIG.format(seed=seed, lr=lr), 70 + 10 * lr + seed
        runs.append(write_run(folder, accuracy=best, config=config))
    half = write_run(tmp_path / 'half', epochs=1, config=config)
    empty = tmp_path / 'empty'
    empty.mkdir()
    out = tmp_path / 'out'
    metrics = '--metrics', 'acc1', 'rankme'
    call('compare_runs', *runs, half, empty, '--out', out, *metrics)
    printed = capsys.readouterr().out
    assert '91.00 ± 1.00' in printed
    assert 'half is unfinished (epoch 1 of 3)' in printed
    assert 'empty has no train_log.json' in printed
    assert names(out) == [
        'compare_runs.csv', 'compare_runs.json', 'compare_runs.md',
        'compare_runs.png', 'compare_runs_rankme.png',
    ]  # fmt: skip
    table = (out / 'compare_runs.md').read_text()
    assert '| lr1 | 3 | 81.00 ± 1.00 |' in table
    assert 'unfinished' in table
    options = '--group', r'lr\d|half', '--include-unfinished', '--html'
    call('compare_runs', *runs, half, '--out', out, *options)
    report = (out / 'compare_runs.html').read_text()
    assert report.count('<img') == 1
    assert '<script' not in report
    assert not re.search(r'(src|href)="(?!data:)', report)
    groups = read_json(str(out / 'compare_runs.json'))['groups']
    assert [group['n'] for group in groups] == [3, 3, 1]


def test_a_grid_with_ranks(tmp_path):
    out = tmp_path / 'out'
    call('compare_runs', *grid(tmp_path), '--out', out)
    table = (out / 'compare_runs.md').read_text()
    assert 'final RankMe' in table
    assert '| mask_ratio=0.85, inv_mode=v2 | 2 | 80.50 ±' in table
    assert [name for name in names(out) if name.endswith('.png')] == [
        'compare_runs.png', 'compare_runs_accuracy-rank.png',
        'compare_runs_cifar10_1-accuracy-top1.png',
        'compare_runs_probe-top1.png', 'compare_runs_rankme-rank.png',
    ]  # fmt: skip


def test_compare_runs_with_nothing_to_compare(tmp_path):
    with pytest.raises(SystemExit, match='no run to compare'):
        call('compare_runs', tmp_path, '--out', tmp_path / 'out')
    run = write_run(tmp_path / 'a')
    out = '--out', tmp_path / 'out'
    with pytest.raises(SystemExit, match='no log has the metric'):
        call('compare_runs', run, '--metrics', 'nope', *out)
    assert not (tmp_path / 'out').exists()
