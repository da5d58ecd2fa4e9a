# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import re

import pytest
import torch
from mmengine.config import Config

from mask_plugins.engine.checkpoint.keep_policy import KeepPolicy
from mask_plugins.engine.hooks import SafeCheckpointHook
from mask_plugins.engine.launching.run_config import set_keep

from ..common.runs import names, train
from .toys import build_runner


@pytest.mark.parametrize(
    ('text', 'policy'),
    [
        ('newest:2', KeepPolicy(2)),
        ('best', KeepPolicy(1, True)),
        ('every:10, newest:3', KeepPolicy(3, False, 10)),
        ('newest:2,best,every:10', KeepPolicy(2, True, 10)),
    ],
)
def test_parse(text, policy):
    assert KeepPolicy.parse(text) == policy


@pytest.mark.parametrize(
    'text', ['', 'newest', 'newest:0', 'last:2', 'best,best', 'best;every:2']
)
def test_what_cannot_be_read(text):
    with pytest.raises(ValueError, match="such as 'newest:2,best,every:10'"):
        KeepPolicy.parse(text)


def test_outdated():
    assert KeepPolicy(2, every=3).outdated([1, 2, 3, 4, 5]) == [1, 2]
    assert KeepPolicy(1).outdated([7, 3]) == [3]
    assert KeepPolicy(5).outdated([7, 3]) == []


def test_a_run_keeps_what_it_is_told_and_says_what_it_freed(tmp_path):
    # Of an earlier run: not this run's to remove.
    torch.save({}, tmp_path / 'epoch_90.pth')
    checkpoint = dict(keep='newest:1,best,every:3')
    text = train(build_runner(tmp_path, epochs=5, checkpoint=checkpoint))
    # The metric is 1, 3, 2, 4, 1, ...
    kept = ['best_toy_acc_epoch_4.pth', 'epoch_3.pth', 'epoch_5.pth']
    assert names(tmp_path) == [*kept, 'epoch_90.pth']
    size = (tmp_path / 'epoch_3.pth').stat().st_size / 1000
    for name in ('epoch_1.pth', 'epoch_2.pth', 'epoch_4.pth'):
        said = re.search(rf'removed {tmp_path}/{name}.*: (\S+) kB', text)
        assert float(said[1]) == pytest.approx(size, rel=0.2)


def test_a_resumed_run_goes_on_with_it(tmp_path):
    checkpoint = dict(keep='newest:2')
    build_runner(tmp_path, epochs=3, checkpoint=checkpoint).train()
    assert names(tmp_path) == ['epoch_2.pth', 'epoch_3.pth']
    options = dict(checkpoint=checkpoint, resume=True)
    build_runner(tmp_path, epochs=4, **options).train()
    assert names(tmp_path) == ['epoch_3.pth', 'epoch_4.pth']


def test_it_is_not_said_twice():
    with pytest.raises(ValueError, match='set one of them'):
        SafeCheckpointHook(keep='newest:2', max_keep_ckpts=2)
    hook = SafeCheckpointHook(keep='best', save_best='toy/acc', rule='greater')
    assert hook.save_best == ['toy/acc']


def test_set_keep():
    hook = dict(type='mask_plugins.SafeCheckpointHook', max_keep_ckpts=2)
    cfg = Config(dict(default_hooks=dict(checkpoint=hook)))
    set_keep(cfg, 'best')
    assert cfg.default_hooks.checkpoint.keep == 'best'
    assert 'max_keep_ckpts' not in cfg.default_hooks.checkpoint
    with pytest.raises(ValueError, match="got 'all'"):
        set_keep(cfg, 'all')
    cfg.default_hooks.checkpoint.type = 'CheckpointHook'
    with pytest.raises(ValueError, match="got 'CheckpointHook'"):
        set_keep(cfg, 'best')
