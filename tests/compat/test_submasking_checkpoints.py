# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checkpoints that the authors' code of Self-Masking Networks wrote."""

import pytest
import torch
from torch import nn

from mask_plugins.compat.subnetworks.submasking import SubmaskedModel
from tests.common.equal import assert_equal

from ..golden import test_self_masking as checks

OPTIONS = dict(k=0, scale=True, criterion='threshold', shell_mode='copy')
X = checks.fill((4, 2, 5, 5), 0.37, 0.1)


def original_state():
    """With the keys that the original's state dict has."""
    golden = checks.golden.need('tiny')
    base = checks.Tiny().state_dict()
    torch.manual_seed(3)
    scores = {
        name: torch.randn_like(base[name])
        for name in ('conv.weight', 'conv.bias', 'fc.weight')
    }
    state = {}
    for key in golden['state_dict_keys']:
        where, _, name = key.partition('.')
        if where == 'model_shell':
            state[key] = base[name] * (0 if name in scores else 3)
        else:
            (name,) = [n for n in scores if n.replace('.', '_') == name]
            state[key] = scores[name] if where == 'scores' else 2 * base[name]
    return state, base, scores


class Names(nn.Module):
    """Two parameters whose names collide once dots are underscores."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2, bias=False)
        self.a.b_c = nn.Parameter(torch.rand(2))
        self.a_b = nn.Linear(2, 2, bias=False)
        self.a_b.c = nn.Parameter(torch.rand(2))

    def forward(self, x):
        return self.a_b(self.a(x))


class Parent(nn.Module):
    """As a Lightning module holds it."""

    def __init__(self):
        super().__init__()
        self.backbone = checks.submasked_tiny(dict(OPTIONS, k=0.1))


@pytest.mark.parametrize('nested', [False, True])
def test_a_checkpoint_of_the_original(nested):
    state, base, scores = original_state()
    keys = list(state)
    parent = Parent()
    masked = parent.backbone
    if nested:
        given = {f'backbone.{key}': value for key, value in state.items()}
        parent.load_state_dict(given)
    else:
        masked.load_state_dict(state)
    assert list(state) == keys  # the caller's is as it was
    shell = masked.model_shell
    assert_equal(dict(masked.scores), scores)
    for name in scores:
        assert torch.equal(shell.get_parameter(name), 2 * base[name])
    assert torch.equal(shell.fc.bias, 3 * base['fc.bias'])
    assert masked.analyze()['prune_k'] == 0.1
    twin = Parent().backbone
    twin.load_state_dict(masked.state_dict())
    assert torch.equal(twin.eval()(X), masked.eval()(X))


def test_an_ambiguous_checkpoint_of_the_original():
    masked = SubmaskedModel(Names())
    with pytest.raises(RuntimeError, match=r'scores.a_b_c .* any of'):
        masked.load_state_dict({'scores.a_b_c': torch.ones(2)}, strict=False)
