# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""ScheduleHook and PSSHook in a toy Runner."""

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from mask_plugins.core.schedules import CyclicSchedule, LinearSchedule
from mask_plugins.engine.hooks import PSSHook, ScheduleHook
from mask_plugins.engine.hooks.attribute_target import find_targets

from ..common.runs import log_of
from .toys import ToyModel, build_runner

CYCLIC = dict(type='mask_plugins.CyclicSchedule', start=0.8, end=0.0)
LINEAR = dict(type='mask_plugins.LinearSchedule', start=0.8, end=0.0)


class Backbone(nn.Linear):
    """Has the attributes that are scheduled, and notes them per forward."""

    def __init__(self):
        super().__init__(1, 1)
        self.drop_ratio = 0.3
        self.register_buffer('temperature', torch.ones(()))
        self.seen = []

    def forward(self, x):
        self.seen.append((self.training, self.drop_ratio))
        return super().forward(x)


class Toy(ToyModel):
    """A model that counts what its backbone sees."""

    def __init__(self, backbone=None):
        super().__init__()
        self.backbone = backbone or Backbone()
        self.name = 'toy'

    def forward(self, x, y, mode='tensor', **kwargs):
        out = self.backbone(torch.as_tensor(x)[:, None] / 12)
        return dict(loss=out.sum()) if mode == 'loss' else [{}] * len(out)


def run(tmp_path, hooks=(), model=None, batch_size=3, **kwargs):
    """4 iterations per epoch, and 3 to validate."""
    runner = build_runner(
        tmp_path,
        hooks,
        model=lambda: model or Toy(),
        loader=dict(batch_size=batch_size),
        optimizer=dict(type='SGD', lr=0.01),
        **kwargs,
    )
    runner.train()
    return runner


def used(runner, training=True):
    return [v for train, v in runner.model.backbone.seen if train == training]


class TestValues:
    def test_every_iteration_uses_its_own(self, tmp_path):
        hook = PSSHook(CYCLIC)
        runner = run(tmp_path, [hook])
        schedule = CyclicSchedule(0.8, 0.0).resolve(8, 4)
        expected = [schedule.value(t) for t in range(8)]
        assert used(runner) == expected == [0.8, 0.4, 0.0, 0.4] * 2
        assert set(used(runner, training=False)) == {0.0}
        logged = runner.message_hub.get_scalar('train/patch_drop_ratio')
        assert logged.data[0].tolist() == expected

    def test_iteration_loop(self, tmp_path):
        hook = ScheduleHook('backbone.drop_ratio', LINEAR)
        runner = run(tmp_path, [hook], loop='iter')
        schedule = LinearSchedule(0.8, 0.0, total=6)
        assert used(runner) == [schedule.value(t) for t in range(6)]

    def test_by_epoch(self, tmp_path):
        hook = ScheduleHook('backbone.drop_ratio', LINEAR, by_epoch=True)
        runner = run(tmp_path, [hook])
        assert used(runner) == [0.8] * 4 + [0.4] * 4

    def test_unit_update(self, tmp_path):
        hook = ScheduleHook('backbone.drop_ratio', LINEAR, unit='update')
        runner = run(tmp_path, [hook], accumulate=2)
        assert used(runner) == [0.8, 0.8, 0.6, 0.6, 0.4, 0.4, 0.2, 0.2]

    def test_updates_keep_step_with_epochs(self, tmp_path):
        """Four iterations an epoch, three an update: no drift."""
        hook = ScheduleHook('backbone.drop_ratio', CYCLIC, unit='update')
        runner = run(tmp_path, [hook], epochs=3, accumulate=3)
        cycle = [0.8, 0.4, 0.0, 0.4]
        began = [t - t % 3 for t in range(12)]
        assert used(runner) == [cycle[t % 4] for t in began]

    def test_evaluation_value_is_given_back(self, tmp_path):
        hook = ScheduleHook('backbone.drop_ratio', LINEAR, eval_value=0.1)
        runner = run(tmp_path, [hook])
        assert set(used(runner, training=False)) == {0.1}
        assert runner.model.backbone.drop_ratio == 0.1  # the last value, 0.1
        keep = ScheduleHook('backbone.drop_ratio', LINEAR)
        runner = run(tmp_path, [keep])
        assert used(runner, training=False) == [0.5] * 3 + [0.1] * 3

    def test_a_buffer_is_set_in_place(self, tmp_path):
        model = Toy()
        buffer = model.backbone.temperature
        schedule = dict(
            type='mask_plugins.ExponentialSchedule', start=1.0, end=256.0
        )
        hook = ScheduleHook('backbone.temperature', schedule)
        run(tmp_path, [hook], model=model)
        assert model.backbone.temperature is buffer
        assert float(buffer) == 256.0 ** (7 / 8)

    def test_test_loop(self, tmp_path):
        runner = build_runner(tmp_path, [PSSHook()], model=Toy)
        runner._train_loop = None  # as tools/test.py
        runner.test()
        said = 'tests with backbone.drop_ratio = 0.0, not the configured 0.3'
        assert said in log_of(tmp_path)
        assert set(used(runner, training=False)) == {0.0}
        assert runner.model.backbone.drop_ratio == 0.3


class TestEMA:
    def test_scheduled_values_are_not_averaged(self, tmp_path):
        class Look(Hook):
            priority = 'VERY_LOW'
            seen = []

            def before_val_iter(self, runner, batch_idx, data_batch=None):
                backbone = runner.model.backbone
                self.seen.append(
                    (backbone.drop_ratio, float(backbone.temperature))
                )

        look = Look()
        run(
            tmp_path,
            [
                dict(type='EMAHook', momentum=0.5, update_buffers=True),
                PSSHook(LINEAR),
                ScheduleHook('backbone.temperature', LINEAR, eval_value=7.0),
                look,
            ],
        )
        assert set(look.seen) == {(0.0, 7.0)}


class TestTarget:
    def make(self):
        model = nn.Module()
        model.encoder = Toy()
        model.blocks = nn.ModuleList(nn.Dropout(0.1) for _ in range(3))
        return model

    def paths(self, path):
        return [target.path for target in find_targets(self.make(), path)]

    def test_whole_path_and_inside_a_wrapper(self):
        whole = ['encoder.backbone.drop_ratio']
        assert self.paths('encoder.backbone.drop_ratio') == whole
        assert self.paths('backbone.drop_ratio') == whole
        assert self.paths('drop_ratio') == whole

    def test_stars(self):
        assert self.paths('blocks.*.p') == [f'blocks.{i}.p' for i in range(3)]
        assert self.paths('**.drop_ratio') == ['encoder.backbone.drop_ratio']
        with pytest.raises(AttributeError, match='matches nothing'):
            self.paths('*.drop_ratio')

    def test_wrappers_are_looked_through(self):
        compiled = torch.compile(self.make())
        (target,) = find_targets(compiled, 'encoder.backbone.drop_ratio')
        target.set(0.7)
        assert compiled._orig_mod.encoder.backbone.drop_ratio == 0.7

    def test_several_without_a_star(self):
        with pytest.raises(ValueError, match=r"ambiguous.*blocks\.0\.p.*'\*'"):
            self.paths('p')

    def test_a_wrong_path_lists_what_exists(self):
        with pytest.raises(AttributeError) as error:
            self.paths('encoder.backbone.drop_rate')
        text = str(error.value)
        assert 'encoder.backbone (Backbone)' in text
        assert 'drop_ratio' in text
        assert "did you mean 'drop_ratio'" in text

    def test_not_a_number(self):
        with pytest.raises(TypeError, match=r"'toy' \(str\)"):
            self.paths('encoder.name')
        with pytest.raises(TypeError, match='a tensor of shape'):
            self.paths('backbone.weight')

    def test_a_model_without_it_fails_before_training(self, tmp_path):
        model = Toy(nn.Linear(1, 1))
        with pytest.raises(AttributeError, match=r"'backbone\.drop_ratio'"):
            run(tmp_path, [PSSHook()], model=model)
        assert not list(tmp_path.glob('*.pth'))


class TestBadInput:
    @pytest.mark.parametrize(
        ('arguments', 'error', 'message'),
        [
            (dict(target=3), TypeError, 'target .* got 3'),
            (dict(probe='no'), TypeError, "probe .* 'no'"),
            (dict(unit='step'), ValueError, "unit .* 'step'"),
            (dict(by_epoch=True, unit='update'), ValueError, 'contradicts'),
            (dict(eval_value='0'), TypeError, "eval_value .* '0'"),
            (dict(schedule=0.4), TypeError, 'schedule .* got 0.4'),
        ],
    )
    def test_schedule_hook(self, arguments, error, message):
        given = dict(target='backbone.drop_ratio', schedule=LINEAR)
        with pytest.raises(error, match=message):
            ScheduleHook(**{**given, **arguments})

    @pytest.mark.parametrize('end', [-0.1, 1.0])
    def test_ratio_outside(self, end):
        schedule = dict(LINEAR, end=end)
        with pytest.raises(ValueError, match=rf'ratio .*\[0, 1\), got {end}'):
            PSSHook(schedule)

    def test_no_iterations(self, tmp_path):
        with pytest.raises(ValueError, match='at least one training'):
            run(tmp_path, [PSSHook()], loop='iter', epochs=0)


def test_report(tmp_path):
    """The log shows each ratio's share of iterations and its tokens."""
    model = Toy()
    model.backbone.patch_resolution = (14, 14)
    hook = PSSHook(dict(LINEAR, quantum=0.4))
    runner = run(tmp_path, [hook], model=model)
    log = log_of(tmp_path)
    assert 'drop ratio 0.80:  37.5 % of iterations, 39 of 197 tokens' in log
    assert 'drop ratio 0.40:  37.5 % of iterations, 118 of 197 tokens' in log
    assert 'drop ratio 0.00:  25.0 % of iterations, 197 of 197 tokens' in log
    assert used(runner).count(0.4) == 3
