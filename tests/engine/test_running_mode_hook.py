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
        self.seen.append(
            (
                mode,
                gate.running_mode.name,
                gate.logit.weight.requires_grad,
                self.linear.weight.requires_grad,
                self.frozen.requires_grad,
                gate.training,
            )
        )
        out = super().forward(x, y, mode, **kwargs)
        if mode == 'loss':
            image = torch.ones(1, 1, 4, 4)
            out['loss'] = (
                out['loss'] + self.gate(image, 0 * image).float().mean()
            )
        return out


def modes_of(runner):
    return list(dict.fromkeys(runner.model.seen))


def test_modes_over_epochs(tmp_path):
    hook = RunningModeHook(
        {0: 'BackboneTrain', 1: 'GatePreTrain', 2: 'FineTuning'}
    )
    runner = build_runner(tmp_path, [hook], model=GatedToy, epochs=3)
    runner.train()
    train = [row[1:] for row in runner.model.seen if row[0] == 'loss']
    assert train[0::3] == [
        ('BackboneTrain', False, True, False, False),
        ('GatePreTrain', True, False, False, True),
        ('FineTuning', False, True, False, False),
    ]
    tests = {row[1:] for row in runner.model.seen if row[0] != 'loss'}
    assert tests == {('Test', False, False, False, False)}


def test_only_its_side_moves(tmp_path):
    for mode, moves in (('GatePreTrain', 'gate'), ('FineTuning', 'linear')):
        runner = build_runner(
            tmp_path / mode, [RunningModeHook(mode)], model=GatedToy
        )
        old = {k: v.clone() for k, v in runner.model.state_dict().items()}
        runner.train()
        new = runner.model.state_dict()
        moved = {k.split('.')[0] for k in old if not old[k].equal(new[k])}
        assert moved == {moves}


def test_a_resumed_run_is_in_its_mode(tmp_path):
    modes = {0: 'GatePreTrain', 1: 'FineTuning'}
    whole = build_runner(
        tmp_path / 'a', [RunningModeHook(modes)], model=GatedToy
    )
    whole.train()
    half = build_runner(
        tmp_path / 'b', [RunningModeHook(modes)], model=GatedToy, epochs=1
    )
    half.train()
    again = build_runner(
        tmp_path / 'b',
        [RunningModeHook(modes)],
        model=GatedToy,
        resume=True,
    )
    again.train()
    first = next(row for row in again.model.seen if row[0] == 'loss')
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
