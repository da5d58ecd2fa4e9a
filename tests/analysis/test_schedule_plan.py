# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
from mmengine.config import Config, ConfigDict

from mask_plugins.analysis.tokens import schedule_plan
from mask_plugins.analysis.tokens.schedule_plan import Scheduled, plan
from mask_plugins.analysis.tokens.token_cost import Tokens

CYCLIC = dict(
    type='CyclicSchedule', start=0.8, end=0.0, quantum=0.2, plateau='end'
)
VIT_BASE = Tokens(196, 1, 768, 'tokens')


def test_shares_tokens_and_cost_of_the_paper():
    scheduled = schedule_plan.build_schedule(CYCLIC)
    summary = plan(scheduled, 100 * 2502, 2502, VIT_BASE)['summary']
    # Half a level, three whole ones and a plateau, of 4.5 levels in all.
    levels = summary['levels']
    assert [level['value'] for level in levels] == [0.8, 0.6, 0.4, 0.2, 0]
    shares = [level['share'] for level in levels]
    assert np.allclose(shares, [1 / 9] + [2 / 9] * 4, atol=2e-3)
    assert [level['tokens'] for level in levels] == [39, 79, 118, 158, 197]
    costs = [level['mac_share'] for level in levels]
    assert np.allclose(costs, [0.191, 0.391, 0.589, 0.796, 1], atol=1e-3)
    assert np.isclose(summary['mac_share'], 0.638, atol=1e-3)
    assert np.isclose(summary['mean'], 0.3557, atol=1e-3)


def test_values_are_those_of_the_schedule():
    scheduled = schedule_plan.build_schedule(dict(CYCLIC, cooldown=1))
    curve = plan(scheduled, 90, 30)['curve']
    schedule = scheduled.schedule.resolve(90, 30)
    expected = [schedule.value(t) for t in range(90)]
    assert curve['value'][:-1].tolist() == expected
    assert np.allclose(curve['epoch'][:-1], np.arange(90) / 30)
    assert curve['cycle'] == 1.0


def test_long_runs_are_sampled():
    scheduled = schedule_plan.build_schedule(
        dict(type='LinearSchedule', start=0.8, end=0.0, quantum=0.2)
    )
    result = plan(scheduled, 1_200_000, 1000)
    assert len(result['curve']['value']) < 600_000
    shares = [level['share'] for level in result['summary']['levels']]
    assert np.allclose(shares, [1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8], atol=1e-3)
    assert result['curve']['cycle'] is None


def test_epochs_and_updates():
    schedule = schedule_plan.build_schedule(
        dict(type='LinearSchedule', start=0.4, end=0.0)
    ).schedule
    by_epoch = Scheduled('a', 'drop_ratio', schedule, by_epoch=True)
    value = plan(by_epoch, 20, 5)['curve']['value'][:-1]
    assert np.allclose(value, np.repeat([0.4, 0.3, 0.2, 0.1], 5))
    by_update = Scheduled('a', 'drop_ratio', schedule, every=2)
    value = plan(by_update, 8, 8)['curve']['value'][:-1]
    assert np.allclose(value, np.repeat([0.4, 0.3, 0.2, 0.1], 2))


def test_schedules_are_read_from_hooks():
    schedule = dict(
        type='mask_plugins.ExponentialSchedule', start=1.0, end=2.0
    )
    hook = dict(
        type='mask_plugins.ScheduleHook', target='head.temperature',
        unit='update', schedule=schedule,
    )  # fmt: skip
    others = dict(type='mask_plugins.SeedHook'), dict(type='EMAHook')
    cfg = Config(dict(custom_hooks=[*others, hook]))
    cfg.optim_wrapper = dict(accumulative_counts=4)
    cfg.model = dict(backbone=dict(drop_ratio=0.25))
    stays, moves = schedule_plan.read_schedules(cfg, 'name')
    assert stays.attribute == 'drop_ratio'
    assert plan(stays, 10, 10)['summary']['mean'] == 0.25
    assert (moves.attribute, moves.every) == ('temperature', 4)
    cfg.custom_hooks = [dict(type='mask_plugins.PSSHook')]
    (pss,) = schedule_plan.read_schedules(cfg, 'name')
    assert pss.schedule.start == 0.8


def test_lengths_come_from_the_training_set():
    loader = dict(
        batch_size=32, num_workers=2, persistent_workers=True,
        dataset=dict(type='mask_plugins.Digits'),
        sampler=dict(type='DefaultSampler', shuffle=True),
    )  # fmt: skip
    cfg = Config(dict(train_dataloader=loader))
    cfg.train_cfg = dict(max_epochs=2)
    assert schedule_plan.run_lengths(cfg) == (90, 45)
    assert schedule_plan.run_lengths(cfg, processes=2) == (46, 23)
    assert schedule_plan.run_lengths(cfg, 10) == (20, 10)
    cfg.train_dataloader.dataset = ConfigDict(
        type='mask_plugins.ImageFolder', data_root='nowhere'
    )
    with pytest.raises(ValueError, match='--iters-per-epoch'):
        schedule_plan.run_lengths(cfg)
    cfg.train_cfg = ConfigDict(max_iters=7)
    assert schedule_plan.run_lengths(cfg, 3) == (7, 3)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(type='Sawtooth'), 'Sawtooth'),
        (dict(CYCLIC, wrong=1), 'wrong'),
        (dict(CYCLIC, start='a'), 'start'),
    ],
)
def test_bad_schedules(settings, message):
    with pytest.raises(ValueError, match=message):
        schedule_plan.build_schedule(settings)


def test_a_ratio_of_one_is_an_error():
    scheduled = schedule_plan.build_schedule(dict(CYCLIC, start=1.2))
    with pytest.raises(ValueError, match=r'\[0, 1\)'):
        plan(scheduled, 10, 10)
