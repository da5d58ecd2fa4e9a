# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Statistics of the backbone's norms stay, its weights learn."""

import pytest

from .feature_runs import build

HOOK = dict(type='mask_plugins.NormEvalHook')


@pytest.mark.parametrize('hooks', [(), (HOOK,)])
def test_statistics_stay(hooks, tmp_path):
    runner = build(tmp_path, hooks)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    same = [after[k].equal(v) for k, v in before.items() if 'running' in k]
    assert same
    assert all(same) == any(same) == bool(hooks)
    weight = 'head.fc.weight'
    assert not after[weight].equal(before[weight])


def test_a_backbone_without_norms_is_an_error(tmp_path):
    backbone = dict(_delete_=True, type='LeNet5')
    runner = build(tmp_path, [HOOK], **{'model.backbone': backbone})
    with pytest.raises(ValueError, match='the backbone has no BatchNorm'):
        runner.train()
