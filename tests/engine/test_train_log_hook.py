# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import json
import math
import os
import time
import tracemalloc

import pytest
import torch
from mmengine.hooks import Hook

from mask_plugins.engine.checkpoint.json_lines import JsonLines
from mask_plugins.engine.hooks import TrainLogHook

from ..common.disk import full_disk
from ..common.processes import run_ranks
from ..common.runs import Stop, StopHook
from .toys import Scores, ToyDataset, ToyMetric, ToyModel, build_runner


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def train(work_dir, hooks=(), interval_log=50, **kwargs):
    runner = build_runner(
        work_dir, hooks=[TrainLogHook(interval_log), *hooks], **kwargs
    )
    runner.train()
    return runner


class Scalars(Hook):
    """Sets some scalars, one only now and then."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        hub = runner.message_hub
        hub.update_scalar('train/patch_drop_ratio', runner.iter / 10)
        if runner.iter % 2:
            hub.update_scalar('train/odd', math.nan)


def test_schema(tmp_path):
    build_runner(tmp_path, hooks=[TrainLogHook()]).val()
    assert not list(tmp_path.glob('*_log.json'))
    runner = train(tmp_path, hooks=[Scalars()])
    train_lines = lines(tmp_path / 'train_log.json')
    history = runner.message_hub.get_scalar('train/loss').data[0]
    assert [line['loss'] for line in train_lines] == history.tolist()
    assert [line['iteration'] for line in train_lines] == list(range(6))
    assert [line['epoch'] for line in train_lines] == [0, 0, 0, 1, 1, 1]
    for line in train_lines:
        assert line['time'] == line['cpu_time'] + line['gpu_time']
        assert min(line['cpu_time'], line['gpu_time']) > 0
        assert line['patch_drop_ratio'] == line['iteration'] / 10
        assert line['lr'] == 0.1
        assert line['memory'] == 0
        assert ('odd' in line) == bool(line['iteration'] % 2)
        assert line.get('odd') is None
        assert 'data_time' not in line
    val_lines = lines(tmp_path / 'val_log.json')
    assert [line['toy/acc'] for line in val_lines] == [1.0, 3.0]
    assert [line['epoch'] for line in val_lines] == [0, 1]
    assert [line['iteration'] for line in val_lines] == [3, 6]
    assert 'loss' not in val_lines[0]
    assert val_lines[0]['time'] > 0


class Metrics(ToyMetric):
    def compute_metrics(self, results):
        return dict(
            top1=torch.tensor(12.5),
            top5=50.0,
            matrix=torch.eye(2),
            huge=torch.zeros(2000),
            nan=float('nan'),
        )


def test_validation_line(tmp_path):
    train(tmp_path, model=Scores, metric=dict(type=Metrics), epochs=1)
    (line,) = lines(tmp_path / 'val_log.json')
    expected = -(math.log(0.2) + math.log(0.8)) / 2
    assert line['loss'] == pytest.approx(expected, rel=1e-6)
    assert (line['acc1'], line['acc5']) == (12.5, 50.0)
    assert line['toy/top1'] == 12.5
    assert line['toy/matrix'] == [[1, 0], [0, 1]]
    assert line['toy/nan'] is None
    assert 'toy/huge' not in line


def rank_of_two(folder):
    data = dict(type=ToyDataset, indices=11)
    train(folder, model=Scores, val_dataset=data, epochs=1)


@pytest.mark.ddp
def test_padding_is_not_counted(tmp_path):
    """6 even labels and 5 odd ones, on two processes."""
    run_ranks(rank_of_two, tmp_path)
    (line,) = lines(tmp_path / 'val_log.json')
    loss = -(6 * math.log(0.2) + 5 * math.log(0.8)) / 11
    assert line['loss'] == pytest.approx(loss, rel=1e-6)


def test_nan_loss_is_null(tmp_path):
    class Broken(ToyModel):
        def __init__(self):
            super().__init__()
            self.linear.weight.data.fill_(math.nan)

    with pytest.raises(FloatingPointError, match='linear.weight has values'):
        train(tmp_path, model=Broken, epochs=1)
    assert not list(tmp_path.glob('*.pth'))
    text = (tmp_path / 'train_log.json').read_text()
    assert 'NaN' not in text
    assert lines(tmp_path / 'train_log.json')[0]['loss'] is None


def test_iteration_loop(tmp_path):
    train(tmp_path, loop='iter', interval=2, checkpoint=dict(by_epoch=False))
    found = lines(tmp_path / 'train_log.json')
    assert [line['epoch'] for line in found] == [0, 0, 0, 1, 1, 1]
    found = lines(tmp_path / 'val_log.json')
    assert [line['iteration'] for line in found] == [2, 4, 6]
    assert [line['epoch'] for line in found] == [0, 1, 1]


@pytest.mark.parametrize('interval_log', [1, 50])
def test_resume_cuts_what_comes_after(tmp_path, interval_log):
    with pytest.raises(Stop):
        train(tmp_path, [StopHook('after_train_iter', 5)], interval_log)
    path = tmp_path / 'train_log.json'
    with open(path, 'a') as file:
        file.write('{"epoch": 1, "iteration": 77}\n{"epoch": 1, "iter')
    train(tmp_path, resume=True, interval_log=interval_log)
    assert [line['iteration'] for line in lines(path)] == list(range(6))
    found = lines(tmp_path / 'val_log.json')
    assert [line['iteration'] for line in found] == [3, 6]


def test_the_cut_of_a_long_log_takes_no_memory(tmp_path):
    """Lines that are none go too, wherever they are."""
    path = tmp_path / 'train_log.json'
    kept = ''.join(
        f'{{"epoch": 0, "iteration": {i}, "text": "{"x" * 100}"}}\n'
        for i in range(10_000)
    )
    half = kept.index('\n', len(kept) // 2) + 1
    late = '{"epoch": 9, "iteration": 10000}\n{"epoch": 0, "iter'
    path.write_text(f'{kept[:half]}[]\n\0\n{kept[half:]}{late}')
    log = JsonLines(path, interval=1)
    tracemalloc.start()
    dropped = log.cut(0, 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.read_text() == kept
    assert dropped == 4
    assert peak < len(kept) / 4
    before = path.stat()
    assert log.cut(0, 10_000) == 0  # nothing is written where nothing goes
    assert path.stat().st_ino == before.st_ino


def test_fresh_start_keeps_the_old_logs(tmp_path):
    train(tmp_path, epochs=1)
    old = (tmp_path / 'train_log.json').read_text()
    ended = os.stat(tmp_path / 'train_log.json').st_mtime
    train(tmp_path, epochs=2)
    stamp = time.strftime('%Y%m%d_%H%M%S', time.localtime(ended))
    aside = tmp_path / f'train_log.{stamp}.json'
    assert aside.read_text() == old
    assert len(lines(tmp_path / 'train_log.json')) == 6
    assert len(list(tmp_path.glob('val_log.*.json'))) == 1


@pytest.mark.parametrize('interval', [0, -1, 2.5, None, True])
def test_bad_interval(interval):
    with pytest.raises((TypeError, ValueError), match='interval must be'):
        TrainLogHook(interval)


class TestJsonLines:
    def test_buffer_is_written_when_it_goes(self, tmp_path):
        log = JsonLines(tmp_path / 'log.json', 10)
        log.append(a=1, b=float('inf'))
        assert not log.path.exists()
        path = log.path
        del log
        assert lines(path) == [dict(a=1, b=None)]

    def test_put_aside_never_overwrites(self, tmp_path):
        for content in 'abc':
            log = JsonLines(tmp_path / 'log.json', 1)
            log.append(value=content)
            os.utime(log.path, (0, 0))
            log.put_aside()
        assert not log.path.exists()
        found = [json.loads(p.read_text()) for p in tmp_path.iterdir()]
        assert sorted(line['value'] for line in found) == ['a', 'b', 'c']

    def test_lines_wait_until_there_is_room(self, tmp_path):
        log = JsonLines(tmp_path / 'log.json', 1)
        log.append(a=1)
        with full_disk(12):  # the second line would be cut in half
            log.append(a=2)
            with pytest.raises(OSError, match='too large'):
                log.flush(sync=True)
        assert log.path.read_text() == '{"a": 1}\n'
        log.append(a=3)
        assert log.path.read_text() == '{"a": 1}\n{"a": 2}\n{"a": 3}\n'
