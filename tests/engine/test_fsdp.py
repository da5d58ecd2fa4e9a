# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""FSDP on two processes: what can be sharded trains, the rest is refused."""

import pytest
import torch

from mask_plugins.engine.launching import sharding
from mask_plugins.engine.launching.run_config import build_runner
from mask_plugins.engine.launching.sharding import prepare_sharding
from mask_plugins.utils.compat_torch import SHARDS_ON_CPU

from ..common.methods import METHODS, method_config, train
from ..common.runs import load_last

FSDP = {
    'runner_type': 'FlexibleRunner',
    'strategy': dict(type='FSDPStrategy', state_dict_cfg='full'),
}
REFUSED = {
    'cs': r'weight masks \(backbone',
    'smn': r'weight masks \(backbone',
    'smn-swav': r'weight masks \(backbone',
    'masked-feature-ema': 'head, MaskedFeatureHead',
    'self-kd': 'teacher, SnapshotTeacher',
    'lwf': 'teacher, TaskTeacher',
    'masked-lwf': 'head, MaskedFeatureHead',
    'hgsl': 'head.alpha',
}
can_shard = pytest.mark.skipif(
    not SHARDS_ON_CPU, reason='FSDP on a CPU needs torch 2.2'
)
# Of the gradients of all ranks, the norm is some 0.15.
CLIPPED = {'optim_wrapper.clip_grad': dict(max_norm=0.01)}
ACCUMULATED = {'optim_wrapper.accumulative_counts': 3}


@can_shard
@pytest.mark.ddp
@pytest.mark.parametrize(
    ('method', 'options'),
    [('pss', {}), ('pss', ACCUMULATED), ('pass', {}), ('pss', CLIPPED)],
    ids=['pss', 'pss, accumulated', 'pass', 'pss, clipped'],
)  # fmt: skip
def test_it_trains_as_ddp_does(tmp_path, method, options):
    """Equal ranks (EqualRanksHook), and the checkpoint of a plain model."""
    sharded, plain = tmp_path / 'sharded', tmp_path / 'plain'
    train(sharded, method, ranks=2, **FSDP, **options)
    train(plain, method, ranks=2, find_unused_parameters=False, **options)
    a, b = (load_last(folder)['state_dict'] for folder in (sharded, plain))
    assert a.keys() == b.keys()
    for key, value in a.items():
        # AdamW makes steps of its rate of gradients that are rounding alone.
        torch.testing.assert_close(value, b[key], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize('method', REFUSED)
def test_what_cannot_be_sharded_is_refused_at_the_start(method):
    with pytest.raises(ValueError, match=REFUSED[method]) as error:
        build_runner(method_config(method, **FSDP))
    assert 'use DistributedDataParallel' in str(error.value)


@can_shard
def test_mixed_precision_has_one_loss_scale():
    amp = {'optim_wrapper.type': 'AmpOptimWrapper'}
    cfg = method_config('pss', **FSDP, **amp)
    prepare_sharding(cfg)
    assert cfg.optim_wrapper.use_fsdp


def test_each_method_is_one_of_them():
    assert METHODS.keys() - REFUSED.keys() == {
        'ce', 'pss', 'pss-budget', 'pass'
    }  # fmt: skip


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'model_wrapper_cfg.type': 'MMFullyShardedDataParallel'},
            "use runner_type='FlexibleRunner' and strategy=dict",
        ),
        (dict(FSDP, runner_type='Runner'), 'runner_type .*FlexibleRunner'),
        (
            dict(FSDP, resume=True),
            'resume: .*cannot load the state of an optimizer',
        ),
        (
            {**FSDP, 'strategy': dict(type='FSDPStrategy')},
            'strategy.state_dict_cfg .*full',
        ),
    ],
)
def test_how_to_ask_for_it(options, message):
    with pytest.raises(ValueError, match=message):
        build_runner(method_config('pss', **options))


def test_an_old_torch_is_refused_on_a_cpu(monkeypatch):
    monkeypatch.setattr(sharding, 'SHARDS_ON_CPU', False)
    with pytest.raises(ValueError, match='needs a GPU or torch 2.2'):
        prepare_sharding(method_config('pss', **FSDP))
