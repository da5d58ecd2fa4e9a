# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A schedule without an effect is found, and finding it has none either."""

import pytest
import torch
from torch import nn

from mask_plugins.engine.hooks import ScheduleHook

from ..common.runs import log_of
from .test_schedule_hook import LINEAR, Toy, run


class Noisy(nn.Module):
    """Draws, averages and counts; reads one of its two rates."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.fc = nn.Linear(1, 1)
        self.rate = self.unread = self.momentum = 0.5
        self.seen = []

    def forward(self, x):
        self.seen.append(self.rate)
        x = self.norm(x + torch.randn_like(x))
        return self.fc(nn.functional.dropout(x, self.rate, self.training))


def train(folder, target, **kwargs):
    torch.manual_seed(0)
    model = Toy(Noisy())
    run(folder, [ScheduleHook(f'backbone.{target}', LINEAR, **kwargs)], model)
    return model, 'the schedule has no effect' in log_of(folder)


@pytest.mark.parametrize(
    ('target', 'warns'),
    [('rate', False), ('unread', True), ('momentum', False)],
)
def test_warns_of_what_changes_nothing(tmp_path, target, warns):
    model, warned = train(tmp_path / 'a', target)
    assert warned == warns
    plain, quiet = train(tmp_path / 'b', target, probe=False)
    assert not quiet
    assert model.backbone.seen == plain.backbone.seen
    for key, value in plain.state_dict().items():
        assert value.equal(model.state_dict()[key]), key


def test_what_cannot_be_copied_is_left_alone(tmp_path):
    class Stubborn(Noisy):
        def __deepcopy__(self, memo):
            raise RuntimeError

    torch.manual_seed(0)
    hook = ScheduleHook('backbone.unread', LINEAR)
    run(tmp_path, [hook], Toy(Stubborn()))
    assert 'no effect' not in log_of(tmp_path)


def test_the_logged_value_is_the_used_one(tmp_path):
    """mmengine averages what is called like a loss or a time."""
    hook = ScheduleHook('backbone.drop_ratio', LINEAR, name='loss_weight')
    logger = dict(type='LoggerHook', interval=4)
    runner = run(tmp_path, [hook], default_hooks=dict(logger=logger))
    scalars = next(tmp_path.glob('*/vis_data/scalars.json')).read_text()
    used = runner.message_hub.get_scalar('train/loss_weight').data[0]
    assert f'"loss_weight": {used[-1]}' in scalars
    assert runner.model.backbone.drop_ratio == used[-1]
