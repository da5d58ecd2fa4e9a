# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Watch, stop and look at runs."""

import json
import logging
import os
import signal
from pathlib import Path

import numpy as np
import torch
from mmengine.fileio import register_backend
from mmengine.hooks import Hook

from mask_plugins.engine.checkpoint.atomic_backend import AtomicLocalBackend
from mask_plugins.registry import HOOKS

TIMES = ('time', 'cpu_time', 'gpu_time', 'memory')


class Stop(Exception):
    """Ends a run as a kill would."""


class StopHook(Hook):
    """Raise :class:`Stop` the n-th time that a hook point is reached."""

    def __init__(self, point, count, priority='NORMAL', rank=None):
        self.left = count
        self.priority = priority

        def hit(runner, *args, **kwargs):
            self.left -= 1
            if self.left == 0 and rank in (None, runner.rank):
                self.act(runner)

        setattr(self, point, hit)

    def act(self, runner):
        raise Stop


@HOOKS.register_module(force=True)
class SignalHook(StopHook):
    """Send signals to the process and its workers at a hook point."""

    def __init__(self, point, count, names=('SIGKILL',), **kwargs):
        super().__init__(point, count, **kwargs)
        self.names = names

    def act(self, runner):
        Path(f'{runner.work_dir}.signal').touch()  # for the time
        children = Path(f'/proc/self/task/{os.getpid()}/children').read_text()
        for name in self.names:
            for pid in (os.getpid(), *map(int, children.split())):
                os.kill(pid, signal.Signals[name])


@HOOKS.register_module(force=True)
class EndHook(SignalHook):
    """Send this process a signal after an iteration, on one rank or all."""

    def __init__(self, iteration, rank=None, name='SIGKILL'):
        super().__init__('after_train_iter', iteration, [name], rank=rank)


@HOOKS.register_module(force=True)
class FillDiskHook(StopHook):
    """Fill the disk of the work_dir at a hook point, then perhaps stop."""

    def __init__(self, point, count, stop=False, **kwargs):
        super().__init__(point, count, **kwargs)
        self.stop = stop

    def act(self, runner):
        filler = Path(runner.work_dir).parent / 'filler'
        with filler.open('wb', buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        if self.stop:
            os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module(force=True)
class CountLoadsHook(Hook):
    """Write down which samples the process loads for training."""

    def before_train(self, runner):
        dataset = runner.train_dataloader.dataset
        prepare = dataset.prepare_data
        path = Path(runner.work_dir) / 'loads.txt'

        def prepare_and_count(index):
            with path.open('a') as file:
                file.write(f'{int(index)}\n')
            return prepare(index)

        dataset.prepare_data = prepare_and_count


@register_backend('test.kill', force=True)
class KillingBackend(AtomicLocalBackend):
    """Kill the process in (`half`) or after (`whole`) the n-th write."""

    left = None

    def __init__(self, left, where):
        cls = type(self)
        if cls.left is None:
            cls.left = left
        self.where = where

    def _write(self, file, obj):
        type(self).left -= 1
        if self.left == 0 and self.where == 'half':
            file.write(obj[: len(obj) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        super()._write(file, obj)

    def put(self, obj, filepath):
        super().put(obj, filepath)
        if self.left == 0 and self.where == 'whole':
            os.kill(os.getpid(), signal.SIGKILL)


@register_backend('test.signal', force=True)
class SignalBackend(AtomicLocalBackend):
    """Send the process both signals while it writes."""

    def _write(self, file, obj):
        file.write(obj[:100])
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        file.write(obj[100:])


class Validations(Hook):
    """At which iterations were there validations?"""

    def __init__(self):
        self.at = []

    def after_val_epoch(self, runner, metrics=None):
        self.at.append(runner.iter)


class Messages(logging.Handler):
    """What a runner logs."""

    def __init__(self, runner):
        super().__init__()
        self.text = ''
        runner.logger.addHandler(self)

    def emit(self, record):
        self.text += record.getMessage() + '\n'


def load(path):
    return torch.load(path, weights_only=True)


def load_last(folder):
    """The checkpoint that a run has written last."""
    return load((Path(folder) / 'last_checkpoint').read_text())


def names(folder, pattern='*.pth'):
    """Names of the files in a folder, sorted."""
    return sorted(path.name for path in Path(folder).glob(pattern))


def train(runner):
    """Train; returns what was logged."""
    messages = Messages(runner)
    runner.train()
    return messages.text


def log_of(work_dir):
    """The text log of a run."""
    (path,) = Path(work_dir).glob('*/*.log')
    return path.read_text()


def log_lines(work_dir, name='train_log.json'):
    """Lines of a JSON log, without times."""
    lines = (Path(work_dir) / name).read_text().splitlines()
    values = [json.loads(line) for line in lines]
    for value in values:
        for key in TIMES:
            assert value.pop(key, 0) >= 0
    return values


def flatten(value, path=''):
    """(key path, leaf) of nested containers."""
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from flatten(item, f'{path}.{key}')
    else:
        yield path, value


def is_same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return a == b


def assert_same_run(work_dir, reference):
    """Weights, EMA, optimizer, schedulers, log histories, logs, best."""
    assert names(work_dir) == names(reference)
    a, b = (
        Path((folder / 'last_checkpoint').read_text())
        for folder in (work_dir, reference)
    )
    assert a.name == b.name
    a, b = load(a), load(b)
    assert set(a) == set(b)
    info = [c['message_hub']['runtime_info'] for c in (a, b)]
    for key in ('best_score', 'keep_ckpt_ids', 'last_validated_iter'):
        assert info[0].get(key) == info[1].get(key)
    for checkpoint in (a, b):
        scalars = checkpoint['log_scalars'] = checkpoint['message_hub'].pop(
            'log_scalars'
        )
        for key in list(scalars):
            if key.split('/')[-1] in ('time', 'data_time', 'memory'):
                scalars.pop(key)
    for part in set(a) - {'meta', 'message_hub'}:
        old, new = dict(flatten(b[part])), dict(flatten(a[part]))
        assert set(old) == set(new)
        different = [key for key in old if not is_same(old[key], new[key])]
        assert not different, f'{part}: {different}'
    for name in ('train_log.json', 'val_log.json'):
        if name == 'train_log.json' or (reference / name).exists():
            assert log_lines(work_dir, name) == log_lines(reference, name)
    assert not list(work_dir.glob('.*tmp'))
