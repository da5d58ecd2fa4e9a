# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import csv
import io

import numpy as np
import pytest

from mask_plugins.analysis.runs import run_comparison as comparison
from mask_plugins.analysis.runs import run_tables
from mask_plugins.analysis.runs.mean_curves import mean_curves
from tests.evaluation.runs import write_run

CONFIG = """
train_cfg = dict(max_epochs=3)
randomness = dict(seed={seed}, deterministic=False)
lr = {lr}
work_dir = 'w{seed}'
"""


def read(folder, seed=0, lr=1, more='', **options):
    config = CONFIG.format(seed=seed, lr=lr) + more
    return comparison.read_run(write_run(folder, config=config, **options))


def seeds(tmp_path, count=3, lr=1, prefix='a'):
    return [
        read(tmp_path / f'{prefix}{seed}', seed, lr, accuracy=80.0 + seed)
        for seed in range(count)
    ]


def test_mean_and_spread_over_seeds(tmp_path):
    groups = comparison.group_runs(seeds(tmp_path))
    assert list(groups) == ['recipe']
    metrics = [comparison.Metric('acc1'), comparison.Metric('loss', 'min')]
    (row,) = comparison.summarize(groups, metrics)
    assert row['n'] == 3
    final = row['columns']['acc1 final']
    assert final['values'] == [80.0, 81.0, 82.0]
    assert np.isclose(final['mean'], 81.0)
    assert np.isclose(final['std'], 1.0)  # of the sample, n - 1
    assert np.isclose(row['columns']['loss best']['mean'], 0.8)
    assert '81.00 ± 1.00' in run_tables.cells(row)


def test_one_config_with_other_settings_is_another_group(tmp_path):
    runs = seeds(tmp_path) + seeds(tmp_path, lr=2, prefix='big-lr_seed')
    groups = comparison.group_runs(runs)
    assert [len(group) for group in groups.values()] == [3, 3]
    assert 'big-lr' in groups


def test_a_resumed_run_stays_in_its_group(tmp_path):
    more = ('', "resume = True\nload_from = 'w2/epoch_1.pth'\n",
            'resume = False\nload_from = None\n',
            "resume = False\nload_from = 'pretrained.pth'\n")  # fmt: skip
    runs = [
        read(tmp_path / f'run-seed{seed}', seed, more=text)
        for seed, text in enumerate(more)
    ]
    groups = comparison.group_runs(runs)
    # What a run starts from is part of its recipe.
    assert list(groups.values()) == [runs[:3], runs[3:]]


def test_without_configs_the_folders_tell(tmp_path):
    names = ['x-seed0', 'x-seed1', 'y_seed_0', 'z/seed0', 'z/seed=1']
    runs = [comparison.read_run(write_run(tmp_path / n)) for n in names]
    groups = comparison.group_runs(runs)
    assert {k: len(v) for k, v in groups.items()} == dict(x=2, y=1, z=2)


def test_grouping_by_a_pattern(tmp_path):
    names = ['cyc-1', 'cyc-2', 'lin-1']
    runs = [comparison.read_run(write_run(tmp_path / n)) for n in names]
    groups = comparison.group_runs(runs, r'(cyc|lin)-\d$')
    assert {k: len(v) for k, v in groups.items()} == dict(cyc=2, lin=1)
    with pytest.raises(ValueError, match='does not match'):
        comparison.group_runs(runs, 'cyc')
    with pytest.raises(ValueError, match='not a regular'):
        comparison.group_runs(runs, '(')


def test_unfinished_runs_are_noticed(tmp_path):
    assert read(tmp_path / 'a', epochs=2).done() == 'epoch 2 of 3'
    folder = tmp_path / 'b'
    assert read(folder, epochs=3).done() is None
    lines = (folder / 'train_log.json').read_text().splitlines()
    (folder / 'train_log.json').write_text('\n'.join(lines[:-3]) + '\n')
    assert comparison.read_run(folder).done() == 'epoch 3 of 3'


def test_metrics(tmp_path):
    assert comparison.Metric.parse('acc1') == ('acc1', 'max')
    assert comparison.Metric.parse('top-1:min') == ('acc1', 'min')
    assert comparison.Metric.parse('val/loss') == ('val/loss', 'min')
    assert comparison.Metric.parse('time:min') == ('time', 'min')
    with pytest.raises(ValueError, match='acc1:up'):
        comparison.Metric.parse('acc1:up')
    groups = comparison.group_runs(seeds(tmp_path, 1))
    (row,) = comparison.summarize(groups, [comparison.Metric('rankme')])
    assert row['columns']['rankme final']['mean'] == 12
    assert row['columns']['rankme final']['std'] is None
    with pytest.raises(ValueError, match=r"no log has .*'nope'.*'rankme'"):
        comparison.summarize(groups, [comparison.Metric('nope')])


def test_tables(tmp_path):
    groups = comparison.group_runs(seeds(tmp_path))
    rows = comparison.summarize(groups, [comparison.Metric('acc1')])
    text = run_tables.to_markdown(rows, ['left out: one'])
    assert text.startswith('| run | n | final top-1 [%] | best top-1 [%] |')
    assert '| recipe | 3 | 81.00 ± 1.00 | 81.00 ± 1.00 |' in text
    assert '- left out: one' in text
    (line,) = csv.DictReader(io.StringIO(run_tables.to_csv(rows)))
    assert float(line['acc1_final_mean']) == 81
    assert float(line['acc1_final_std']) == 1
    assert line['n'] == '3'


def test_curves_are_means_at_common_epochs(tmp_path):
    runs = seeds(tmp_path)
    short = write_run(tmp_path / 'a9', epochs=2, accuracy=70.0)
    runs.append(comparison.read_run(short))
    (curve,) = mean_curves(dict(all=runs), 'acc1')
    assert curve['epoch'] == [1, 2]
    assert np.isclose(curve['value'][0], np.mean([70, 71, 72, 65]))
    assert np.isclose(curve['spread'][0], np.std([70, 71, 72, 65], ddof=1))
    assert curve['name'] == 'all (n = 4)'
    assert mean_curves(dict(all=runs), 'nope') == []
