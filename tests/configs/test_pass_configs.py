# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of PASS say what they should, and run one after another."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import Runner

from mask_plugins.core.patches import gates_of
from mask_plugins.models.selfsup import PASSPretrainer

from .configs import CONFIGS, LEAVES, ROOT, build, identify, read

PASS = [path for path in LEAVES if path.parent.name == 'pass']
PRETRAIN = [path for path in PASS if 'pretrain' in path.stem]
# Options for --cfg-options: seconds instead of minutes.
SMALL = (
    'train_dataloader.dataset.num_clips=8',
    'train_dataloader.dataset.clip_len=2',
    'train_dataloader.batch_size=4',
    'train_cfg.max_epochs=3',
    'randomness.seed=1',
)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')


@pytest.mark.parametrize('path', PASS, ids=identify)
def test_every_network_has_gates(path):
    cfg, model = read(path), build(path)
    assert list(gates_of(model))
    if path in PRETRAIN:
        assert isinstance(model, PASSPretrainer)
        assert all(
            '.gate.' in key
            for key, p in model.named_parameters()
            if p.requires_grad
        )
        hook = HOOKS.build(copy.deepcopy(cfg.custom_hooks[-1]))
        assert hook.target == 'head.budget'
        schedule = hook.schedule.resolve(60, 10)
        assert schedule.value(0) == 0
        assert schedule.value(40) == pytest.approx(model.head.budget, abs=0.02)
        assert cfg.model.head.margin == 200
    assert not cfg.data_preprocessor.to_rgb


def test_budgets_are_those_of_the_names():
    for percent in (30, 70):
        name = f'pass-pretrain_resnet18_budget-{percent}_synthetic.py'
        cfg = read(CONFIGS / 'pass' / name)
        assert cfg.model.head.budget == percent / 100
        assert cfg.custom_hooks[-1].schedule.end == percent / 100
        assert len(cfg.custom_hooks) == 3


def test_fine_tuning_begins_with_the_gates_of_pretraining():
    first = read(CONFIGS / 'pass/pass-pretrain_resnet18_1xb8-6e_synthetic.py')
    second = read(
        CONFIGS / 'pass/pass-finetune_resnet18_1xb16-3e_synthetic.py'
    )
    epochs = first.train_cfg.max_epochs
    assert second.load_from == (
        f'work_dirs/pass-pretrain_resnet18_1xb8-6e_synthetic/epoch_{epochs}.pth'
    )
    theirs = build(
        CONFIGS / 'pass/pass-pretrain_resnet18_1xb8-6e_synthetic.py'
    )
    ours = build(CONFIGS / 'pass/pass-finetune_resnet18_1xb16-3e_synthetic.py')
    missing = set(ours.state_dict()) - set(theirs.state_dict())
    assert {key.split('.')[0] for key in missing} == {'head'}


@pytest.mark.parametrize('size', [224, 512], ids=['224px', '512px'])
@pytest.mark.parametrize('depth', [18, 50])
def test_streaming_recipes(depth, size):
    cfg = read(CONFIGS / f'pass/pass-stream_resnet{depth}_{size}px.py')
    assert cfg.model.backbone.depth == depth
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.image_size == size
    assert cfg.model.head.in_channels == {18: 512, 50: 2048}[depth]
    assert f'resnet{depth}' in cfg.model.backbone.init_cfg.checkpoint


def small(name, work_dir, **options):
    """A run of a recipe on a narrow network and few clips."""
    cfg = copy.deepcopy(read(CONFIGS / 'pass' / f'{name}.py'))
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    if 'PASSPretrainer' not in cfg.model.type:
        cfg.model.head.in_channels = 64
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.update(num_clips=8, clip_len=3)
    for split in ('val', 'test'):
        if cfg.get(f'{split}_dataloader'):
            cfg[f'{split}_dataloader'].dataset.update(num_clips=2, clip_len=3)
    cfg.train_cfg.max_epochs = 2
    if 'schedule' in cfg.custom_hooks[-1]:
        cfg.custom_hooks[-1].schedule.cooldown = 1
    cfg.work_dir = str(work_dir)
    cfg.load_from = None
    cfg.log_level = 'ERROR'
    for key, value in options.items():
        cfg[key] = value
    return cfg


def weights(work_dir, epoch=2):
    path = work_dir / f'epoch_{epoch}.pth'
    return torch.load(path, weights_only=True)['state_dict']


def test_pretraining_resumes_bit_for_bit(tmp_path):
    name = 'pass-pretrain_resnet18_1xb8-6e_synthetic'
    Runner.from_cfg(small(name, tmp_path / 'whole')).train()
    killed = small(name, tmp_path / 'killed')
    runner = Runner.from_cfg(killed)

    class Killed(Exception):
        pass

    def kill(runner, batch_idx, **kwargs):
        if runner.iter == 3:  # in the second epoch
            raise Killed

    runner._hooks[-1].before_train_iter = kill
    with pytest.raises(Killed):
        runner.train()
    Runner.from_cfg(small(name, tmp_path / 'killed', resume=True)).train()
    whole, resumed = weights(tmp_path / 'whole'), weights(tmp_path / 'killed')
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    first = weights(tmp_path / 'whole', 1)
    assert any(not torch.equal(whole[key], first[key]) for key in whole)


def test_the_chain_in_one_process(tmp_path):
    pretrain = small(
        'pass-pretrain_resnet18_1xb8-6e_synthetic', tmp_path / 'a'
    )
    Runner.from_cfg(pretrain).train()
    gates = {k: v for k, v in weights(tmp_path / 'a').items() if 'gate' in k}
    tune = small(
        'pass-finetune_resnet18_1xb16-3e_synthetic',
        tmp_path / 'b',
        load_from=str(tmp_path / 'a' / 'epoch_2.pth'),
    )
    tune.train_cfg.val_interval = 1
    Runner.from_cfg(tune).train()
    tuned = weights(tmp_path / 'b')
    assert gates
    assert all(torch.equal(tuned[key], gates[key]) for key in gates)
    moved = weights(tmp_path / 'a')
    key = 'backbone.layer4.1.conv2.weight'
    assert not torch.equal(tuned[key], moved[key])
    stream = small(
        'pass-stream_resnet18_1xb1_synthetic',
        tmp_path / 'c',
        load_from=str(tmp_path / 'b' / 'epoch_2.pth'),
    )
    metrics = Runner.from_cfg(stream).test()
    assert {
        'accuracy/top1',
        'stream/skip_ratio',
        'stream/agreement',
        'stream/latency_p95',
        'stream/speed_up',
        'stream/skip/layer1.0',
    } <= metrics.keys()


@pytest.mark.slow
def test_the_chain_through_mim(tmp_path):
    """Pre-train, fine-tune, stream, as a user does it, of fewer clips."""
    mim = [sys.executable, '-m', 'mim']
    env = dict(os.environ, OMP_NUM_THREADS='1')

    def run(*arguments):
        done = subprocess.run(
            [*mim, *map(str, arguments)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def config(name):
        return ROOT / 'configs' / 'pass' / f'{name}_resnet18_synthetic.py'

    for name, load in (
        ('pass-pretrain', ()),
        (
            'pass-finetune',
            (
                'load_from=work_dirs/pass-pretrain_resnet18_1xb8-6e_synthetic/epoch_3.pth',
            ),
        ),
    ):
        options = [*SMALL, *load]
        if name == 'pass-finetune':
            options.append('val_dataloader.dataset.num_clips=2')
            options.append('train_cfg.val_interval=1')
        run('train', 'mmpretrain', config(name), '--cfg-options', *options)
    checkpoint = (
        'work_dirs/pass-finetune_resnet18_1xb16-3e_synthetic/epoch_3.pth'
    )
    run(
        *('test', 'mmpretrain', config('pass-stream')),
        *('--checkpoint', checkpoint, '--out', 'metrics.json'),
        *('--out-item', 'metrics', '--cfg-options'),
        *('test_dataloader.dataset.num_clips=2',),
    )
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert 0 <= metrics['stream/skip_ratio_gross'] <= 1
