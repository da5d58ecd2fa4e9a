# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Who learns in which mode, over epochs, validation and a resume."""

import pytest
import torch
from torch import nn

from mask_plugins.core.patches import RunningMode, build_gate
from mask_plugins.engine.hooks import RunningModeHook
from tests.engine.toys import ToyModel, build_runner


class GatedToy(ToyModel):
    """A toy with a gate, a norm and a parameter that its user froze."""

    def __init__(self):
        super().__init__()
        self.gate = build_gate('pooled', channels=1, patch_size=2)
        self.norm = nn.BatchNorm1d(1)
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.seen = []

    def forward(self, x, y, mode='tensor', **kwargs):
        gate = self.gate
        weights = (gate.logit.weight, self.linear.weight, self.frozen)
        learns = [weight.requires_grad for weight in weights]
        row = (mode, gate.running_mode.name, *learns, gate.training)
        self.seen.append(row)
        out = super().forward(x, y, mode, **kwargs)
        if mode == 'loss':
            image = torch.ones(1, 1, 4, 4)
            out['loss'] = (
                out['loss'] + self.gate(image, 0 * image).float().mean()
            )
        return out


def train(folder, modes, **kwargs):
    runner = build_runner(
        folder, [RunningModeHook(modes)], model=GatedToy, **kwargs
    )
    old = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    return runner.model, old


def test_modes_over_epochs(tmp_path):
    modes = {0: 'BackboneTrain', 1: 'GatePreTrain', 2: 'FineTuning'}
    model, _ = train(tmp_path, modes, epochs=3)
    rows = [row[1:] for row in model.seen if row[0] == 'loss']
    assert rows[0::3] == [
        ('BackboneTrain', False, True, False, False),
        ('GatePreTrain', True, False, False, True),
        ('FineTuning', False, True, False, False),
    ]
    tests = {row[1:] for row in model.seen if row[0] != 'loss'}
    assert tests == {('Test', False, False, False, False)}


def test_only_its_side_moves(tmp_path):
    for mode, moves in (('GatePreTrain', 'gate'), ('FineTuning', 'linear')):
        model, old = train(tmp_path / mode, mode)
        new = model.state_dict()
        moved = {k.split('.')[0] for k in old if not old[k].equal(new[k])}
        assert moved == {moves}


def test_a_resumed_run_is_in_its_mode(tmp_path):
    modes = {0: 'GatePreTrain', 1: 'FineTuning'}
    train(tmp_path, modes, epochs=1)
    again, _ = train(tmp_path, modes, resume=True)
    first = next(row for row in again.seen if row[0] == 'loss')
    assert first[1] == 'FineTuning'


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="running_mode.*'Pretrain'"):
        RunningModeHook('Pretrain')
    with pytest.raises(ValueError, match='epoch 0'):
        RunningModeHook({1: 'Test'})
    with pytest.raises(TypeError, match='keys must be epochs'):
        RunningModeHook({'first': 'Test'})
    assert RunningModeHook({'0': 'Test'}).mode_at(7) is RunningMode.Test
    runner = build_runner(tmp_path, [RunningModeHook('FineTuning')])
    with pytest.raises(ValueError, match='the model has no gates'):
        runner.train()
