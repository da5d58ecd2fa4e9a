# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of PASS say what they should, and run one after another."""

import copy

import pytest
import torch
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mask_plugins.core.patches import gated_layers, gates_of
from mask_plugins.models.selfsup import PASSPretrainer

from .configs import build, identify, leaves_of, load, model_of, read

PASS = leaves_of('pass')
PRETRAIN = 'pass-pretrain_resnet18_1xb8-6e_synthetic'
FINETUNE = 'pass-finetune_resnet18_1xb16-3e_synthetic'
STREAM = 'pass-stream_resnet18_1xb1_synthetic'


@pytest.mark.parametrize('path', PASS, ids=identify)
def test_every_network_has_gates(path):
    cfg, model = read(path), build(path)
    assert list(gates_of(model))
    assert not cfg.data_preprocessor.to_rgb
    if 'pretrain' not in path.stem:
        return
    assert isinstance(model, PASSPretrainer)
    trained = [k for k, p in model.named_parameters() if p.requires_grad]
    assert all('.gate.' in key for key in trained)
    (*_, budget) = copy.deepcopy(cfg.custom_hooks)
    assert len(cfg.custom_hooks) == 3
    schedule = HOOKS.build(budget).schedule.resolve(60, 10)
    assert budget.target == 'head.budget'
    assert schedule.value(0) == 0
    assert schedule.value(40) == pytest.approx(model.head.budget, abs=0.02)
    percent = path.stem.partition('budget-')[2][:2] or '50'
    assert model.head.budget == int(percent) / 100


def test_fine_tuning_begins_with_the_gates_of_pretraining():
    epochs = load(PRETRAIN).train_cfg.max_epochs
    start = load(FINETUNE).load_from
    assert start == f'work_dirs/{PRETRAIN}/epoch_{epochs}.pth'
    ours, theirs = model_of(FINETUNE), model_of(PRETRAIN)
    missing = set(ours.state_dict()) - set(theirs.state_dict())
    assert {key.split('.')[0] for key in missing} == {'head'}


@pytest.mark.parametrize('size', [224, 512], ids=['224px', '512px'])
@pytest.mark.parametrize('depth', [18, 50])
def test_streaming_recipes(depth, size):
    cfg = load(f'pass-stream_resnet{depth}_1xb1_video-{size}px')
    assert cfg.model.backbone.depth == depth
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.image_size == size
    assert f'resnet{depth}' in cfg.model.backbone.init_cfg.checkpoint


@pytest.mark.parametrize('size', [224, 512], ids=['224px', '512px'])
def test_efficientnet_streaming(size):
    name = f'pass-stream_efficientnet-lite0_1xb1_video-{size}px'
    cfg = load(name)
    assert cfg.test_dataloader.dataset.image_size == size
    layers = gated_layers(model_of(name).backbone)
    assert len(layers) == 18  # 16 blocks, the first and last convolution
    last = layers['timm_model.conv_head']
    assert (last.gate.patch_size, last.gate.sample_channels) == ((1, 1), 16)


def small(name, work_dir, **options):
    """A run of a recipe on a narrow network and few clips."""
    cfg = load(name)
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    if name != PRETRAIN:
        cfg.model.head.in_channels = 64
    cfg.train_dataloader.batch_size = 4
    for split, count in dict(train=8, val=2, test=2).items():
        if cfg.get(f'{split}_dataloader'):
            clips = cfg[f'{split}_dataloader'].dataset
            clips.update(num_clips=count, clip_len=3)
    cfg.train_cfg.max_epochs = 2
    if 'schedule' in cfg.custom_hooks[-1]:
        cfg.custom_hooks[-1].schedule.cooldown = 1
    cfg.update(work_dir=str(work_dir), load_from=None, log_level='ERROR')
    cfg.update(options)
    return cfg


def weights(work_dir, epoch=2):
    path = work_dir / f'epoch_{epoch}.pth'
    return torch.load(path, weights_only=True)['state_dict']


def test_pretraining_resumes_bit_for_bit(tmp_path):
    Runner.from_cfg(small(PRETRAIN, tmp_path / 'whole')).train()
    runner = Runner.from_cfg(small(PRETRAIN, tmp_path / 'killed'))

    class Killed(Exception):
        pass

    def kill(runner, batch_idx, **kwargs):
        if runner.iter == 3:  # in the second epoch
            raise Killed

    runner._hooks[-1].before_train_iter = kill
    with pytest.raises(Killed):
        runner.train()
    Runner.from_cfg(small(PRETRAIN, tmp_path / 'killed', resume=True)).train()
    whole, resumed = weights(tmp_path / 'whole'), weights(tmp_path / 'killed')
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    first = weights(tmp_path / 'whole', 1)
    assert any(not torch.equal(whole[key], first[key]) for key in whole)


def test_the_chain_in_one_process(tmp_path):
    Runner.from_cfg(small(PRETRAIN, tmp_path / 'a')).train()
    before = weights(tmp_path / 'a')
    start = str(tmp_path / 'a/epoch_2.pth')
    tune = small(FINETUNE, tmp_path / 'b', load_from=start)
    tune.train_cfg.val_interval = 1
    Runner.from_cfg(tune).train()
    tuned = weights(tmp_path / 'b')
    gates = [key for key in before if 'gate' in key]
    assert gates
    assert all(torch.equal(tuned[key], before[key]) for key in gates)
    key = 'backbone.layer4.1.conv2.weight'
    assert not torch.equal(tuned[key], before[key])
    start = str(tmp_path / 'b/epoch_2.pth')
    stream = small(STREAM, tmp_path / 'c', load_from=start)
    metrics = Runner.from_cfg(stream).test()
    names = ('skip_ratio', 'agreement', 'latency_p95', 'speed_up')
    names = (*names, 'skip/layer1.0')
    wanted = {'accuracy/top1', *(f'stream/{name}' for name in names)}
    assert wanted <= metrics.keys()
