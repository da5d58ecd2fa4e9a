# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Configs that inherit from ``mask_plugins::``, which mmengine stamps."""

import json

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.registry import root as mmengine_root
from mmengine.runner import Runner

import mask_plugins  # noqa: F401
from mask_plugins import registry
from mask_plugins.analysis.cli import parse_options
from tests.small_run import QUICKSTART, SMALL


def train(base, tmp_path):
    """A short run of a config with that base; what it has logged."""
    tmp_path.mkdir()
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = ['{base}']\nrandomness = dict(seed=3)\n")
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(parse_options(SMALL))
    cfg.work_dir = str(tmp_path)
    cfg.visualizer.name = tmp_path.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    cfg.test_dataloader.dataset.indices = 20
    lines = (tmp_path / 'train_log.json').read_text().splitlines()
    return [json.loads(line)['loss'] for line in lines], runner.test()


def test_a_base_by_name_trains_and_tests_as_one_by_path(tmp_path):
    by_path = train(QUICKSTART, tmp_path / 'path')
    by_name = train(f'mask_plugins::pss/{QUICKSTART.name}', tmp_path / 'name')
    assert by_name == by_path
    assert len(by_name[0]) == 2


@pytest.mark.parametrize('family', ['masked_feature', 'hgsl', 'self_masking',
                                    'continuous_sparsification'])  # fmt: skip
def test_models_and_evaluators_of_every_family_build(family, repo_root):
    """Whatever kind of thing a base of ours names without a prefix."""
    files = repo_root.glob(f'configs/{family}/*.py')
    odd = 'mm', 'efficientnet'  # need packages that may be absent
    path = min(f for f in files if not any(o in f.stem for o in odd))
    cfg = Config.fromfile(path)
    stamped = Config.fromstring(
        f"_base_ = ['mask_plugins::{family}/{path.name}']", '.py'
    )
    assert stamped.model._scope_ == 'mask_plugins'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        found = registry.MODELS.build(stamped.model)
        assert type(found) is type(registry.MODELS.build(cfg.model))
        pipeline = stamped.train_dataloader.dataset.get('pipeline', ())
        for step in pipeline:
            registry.TRANSFORMS.build(step)


def test_every_kind_of_thing_has_a_registry_of_ours():
    kinds = [
        kind
        for kind in vars(mmengine_root).values()
        if isinstance(kind, mmengine_root.Registry)
    ]
    assert len(kinds) > 15
    assert [k.name for k in kinds if 'mask_plugins' not in k.children] == []


def test_the_scope_of_the_config_comes_before_mmpretrain():
    with DefaultScope.overwrite_default_scope('mmengine'):
        assert registry._config_scope() == 'mmpretrain'
    with DefaultScope.overwrite_default_scope('mmseg'):
        with DefaultScope.overwrite_default_scope('mask_plugins'):
            assert registry._config_scope() == 'mmseg'
    assert registry.MODELS.get('ImageClassifier').__name__ == 'ImageClassifier'
    assert registry.MODELS.get('NoSuchThing') is None


def test_a_bare_name_of_ours_is_unknown_to_mmpretrain():
    from mmpretrain.registry import HOOKS

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        with pytest.raises(KeyError, match='PSSHook is not in the'):
            HOOKS.build(dict(type='PSSHook'))
