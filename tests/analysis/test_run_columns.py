# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Columns of features, and names of the runs of a grid search."""

from mask_plugins.analysis.runs import run_columns
from mask_plugins.analysis.runs import run_comparison as comparison
from mask_plugins.analysis.runs.mean_curves import mean_curves
from mask_plugins.analysis.runs.run_labels import label_by_options
from mask_plugins.utils.files import read_json_lines, write_json_lines
from tests.evaluation.runs import write_run

CONFIG = """
train_cfg = dict(max_epochs=3)
model = dict(head=dict(mask_ratio={ratio}, inv_mode={inv!r}, masked=[0, 1]))
randomness = dict(seed={seed})
"""


KEYS = 'model.head.mask_ratio_{}_model.head.inv_mode_{}_randomness.seed_{}'


def add(folder, log, **values):
    """Put scalars into each line of a log."""
    path = str(folder / log)
    write_json_lines(path, [{**x, **values} for x in read_json_lines(path)])


def grid(tmp_path):
    """What ``mim gridsearch`` leaves behind."""
    runs = []
    for ratio in (0.5, 0.85):
        for inv in ('v1', 'v2'):
            for seed in (0, 1):
                end = KEYS.format(ratio, inv, seed)
                folder = tmp_path / f'work_search_{end}'
                config = CONFIG.format(ratio=ratio, inv=inv, seed=seed)
                name = f'mf_digits_search_{end}.py'
                write_run(folder, 3, True, 80 + seed, config, name)
                values = {
                    'rankme/rank': 10 * ratio + seed,
                    'probe/top1': 90.0,
                    'cifar10_1/accuracy/top1': 60.0,
                    'accuracy/top1': 80.0 + seed,
                }
                add(folder, 'val_log.json', **values)
                add(folder, 'train_log.json', rank=3.0)
                runs.append(str(folder))
    return runs


def test_a_grid_is_grouped_by_what_was_searched(tmp_path):
    runs = [comparison.read_run(folder) for folder in grid(tmp_path)]
    groups = comparison.group_runs(runs)
    assert {name: len(group) for name, group in groups.items()} == {
        f'mask_ratio={ratio}, inv_mode={inv}': 2
        for ratio in (0.5, 0.85)
        for inv in ('v1', 'v2')
    }


def test_labels_take_the_shortest_key_that_is_unique():
    first = dict(a=dict(lr=1, x=[dict(p=0)]), b=dict(lr=1), same=3)
    second = dict(a=dict(lr=2, x=[dict(p=1)]), b=dict(lr=2), same=3, new='n')
    assert label_by_options([first, second]) == [
        'a.lr=1, p=0, b.lr=1, new=(none)',
        'a.lr=2, p=1, b.lr=2, new=n',
    ]


def test_columns_of_what_the_logs_have(tmp_path):
    runs = [comparison.read_run(folder) for folder in grid(tmp_path)]
    metrics = run_columns.default_metrics(runs)
    assert [metric.key for metric in metrics] == [
        'acc1', 'rankme/rank', 'probe/top1', 'cifar10_1/accuracy/top1',
    ]  # fmt: skip
    rank = run_columns.rank_metric(metrics)
    assert rank.key == 'rankme/rank'
    rows = comparison.summarize(comparison.group_runs(runs), metrics)
    points = run_columns.accuracy_and_rank(rows, 'acc1', rank.key)
    assert len(points) == 4
    assert points[0]['rank'].tolist() == [5.0, 6.0]
    assert points[0]['accuracy'].tolist() == [80.0, 81.0]


def test_the_rank_of_training_batches_over_time(tmp_path):
    write_run(tmp_path / 'a')
    add(tmp_path / 'a', 'train_log.json', rank=3.0)
    run = comparison.read_run(str(tmp_path / 'a'))
    keys = [metric.key for metric in run_columns.default_metrics([run])]
    assert keys == ['acc1', 'rank']
    (curve,) = mean_curves(dict(a=[run]), 'rank')
    assert len(curve['epoch']) == 30
    assert set(curve['value']) == {3.0}
