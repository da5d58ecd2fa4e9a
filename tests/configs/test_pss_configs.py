# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of PSS say what they should."""

import copy
import re

import pytest
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .configs import (
    build,
    find,
    identify,
    image,
    leaves_of,
    load,
    model_of,
    read,
    shorten,
)

PSS = leaves_of('pss')
STEMS = {path.stem for path in PSS}
SIMMIM = 'pss_simmim-vit-base_4xb128-{}-100e_in1k'
DEIT = 'pss_deit-small_4xb256-{}-300e_in1k'
DEIT_384 = 'pss_deit-small_4xb128-{}-300e_in1k-384px'
CIFAR = 'pss_vit-tiny_1xb128-{}-100e_cifar10'
ARCH = dict(num_layers=2, num_heads=2, feedforward_channels=64)
CYCLIC = 'magnitude-cyclic-80-0'


# ------------------------------------------------------------------- all
@pytest.mark.parametrize('path', PSS, ids=identify)
def test_variant_differs_from_its_baseline_in_the_schedule_only(path):
    cfg = copy.deepcopy(read(path))
    assert build(path).backbone.drop_ratio == 0
    if 'baseline' in path.stem:
        names = [hook.type for hook in cfg.custom_hooks]
        assert 'mask_plugins.PSSHook' not in names
        return
    variant = re.search(
        r'(magnitude|random)-(cyclic|linear|fixed)-\d+(-0)?(-budget)?',
        path.stem,
    )
    baseline = load(path.stem.replace(variant[0], 'baseline'))
    hook = cfg.custom_hooks.pop()
    assert hook.type == cfg.pop('pss_hook').type == 'mask_plugins.PSSHook'
    assert cfg.model.backbone.pop('scorer', 'magnitude') == variant[1]
    loader = cfg.train_dataloader
    if variant[4]:  # and in the batches, of which none is dropped
        assert loader.pop('batch_sampler').type.endswith('TokenBudgetSampler')
        assert loader.drop_last is False
        loader.drop_last = baseline.train_dataloader.drop_last
    assert hook.get('batch', 'fixed') == ('budget' if variant[4] else 'fixed')
    assert cfg.to_dict() == baseline.to_dict()
    # and the schedule is that of the name
    built = HOOKS.build(hook).schedule.resolve(300 * 900, 900)
    values = [built.value(t) for t in (0, 450, 135_000, 270_000 - 1)]
    expected = {
        'cyclic': [0.8, 0.0, 0.8, 0.0 if 'deit' in path.stem else 0.8],
        'linear': [0.8, 0.8, 0.4, 0.0],
        'fixed': [0.4, 0.4, 0.4, 0.4],
    }
    assert values == pytest.approx(expected[variant[2]])


def test_every_published_run_has_a_config():
    for kind in ('magnitude', 'random'):
        for schedule in ('cyclic-80-0', 'linear-80-0', 'fixed-40'):
            assert SIMMIM.format(f'{kind}-{schedule}') in STEMS
    for template in (SIMMIM, DEIT, DEIT_384, CIFAR):
        for variant in ('baseline', CYCLIC):
            assert template.format(variant) in STEMS
    for template in (SIMMIM, CIFAR):
        for variant in ('baseline', CYCLIC):
            name = re.sub('(vit-[a-z]+)', r'\1-no-rpb', template)
            backbone = load(name.format(variant)).model.backbone
            assert not backbone.use_rel_pos_bias
            # without any position the comparison would be idle
            assert backbone.use_abs_pos_emb


@pytest.mark.parametrize(
    ('template', 'millions'), [(SIMMIM, 86.5), (DEIT, 22.1), (DEIT_384, 22.4)]
)
def test_size_of_the_networks(template, millions):
    model = model_of(template.format('baseline'))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.2)


# --------------------------------------------------------------- recipes
def depth_of(key):
    """Its place in the layer-wise decay of rates: 0 is the embedding."""
    layer = re.match(r'backbone\.layers\.(\d+)', key)
    if layer:
        return int(layer[1]) + 1
    return 13 if key.startswith(('head', 'backbone.ln')) else 0


@pytest.mark.parametrize(
    ('template', 'decay_rate'),
    [(SIMMIM, 0.65), (DEIT, 1.0), (DEIT_384, 1.0)],
    ids=['simmim', 'deit', 'deit-384'],
)
def test_rates_and_decay_of_each_parameter(template, decay_rate):
    name = template.format(CYCLIC)
    cfg, model = load(name), model_of(name)
    cfg.optim_wrapper.type = 'OptimWrapper'  # no GPU here
    cfg.optim_wrapper.pop('dtype')
    lr = cfg.optim_wrapper.optimizer.lr
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {
        id(parameter): group
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    for key, parameter in model.named_parameters():
        group = groups[id(parameter)]
        rate = lr * decay_rate ** (13 - depth_of(key))
        assert group['lr'] == pytest.approx(rate), key
        embedding = key.endswith(('cls_token', 'pos_embed'))
        decays = parameter.ndim > 1 and not embedding
        assert group['weight_decay'] == (0.05 if decays else 0), key


@pytest.mark.parametrize(
    ('template', 'size'),
    [(SIMMIM, 224), (DEIT, 224), (DEIT_384, 384), (CIFAR, 32)],
    ids=['simmim', 'deit', 'deit-384', 'cifar'],
)
def test_pipelines_feed_the_size_of_the_model(template, size, tmp_path):
    cfg = load(template.format('baseline'))
    assert cfg.model.backbone.img_size == size
    shape = (32, 32) if size == 32 else (300, 420)
    _, sample = image(tmp_path / 'image.jpg', shape)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        packed = Compose(loader.dataset.pipeline)(dict(sample))
        assert packed['inputs'].shape == (3, size, size)
        assert packed['data_samples'].gt_label.item() == 1


# ------------------------------------------------------------------- runs
@pytest.mark.parametrize(
    'template', [SIMMIM, DEIT, CIFAR], ids=['simmim', 'deit', 'cifar']
)
def test_reduced_recipe_trains_and_tests(template, tmp_path):
    """The recipe as it is, of a small network on the embedded images."""
    cfg = load(template.format(CYCLIC))
    data = copy.deepcopy(read(find('digits_bs16')))
    cfg.model.backbone.update(
        img_size=data.image_size,
        patch_size=data.image_size // 4,
        arch=dict(ARCH, embed_dims=32),
        init_cfg=None,
    )
    cfg.model.head.update(in_channels=32, num_classes=10)
    cfg.data_preprocessor = data.data_preprocessor
    dataset = data.train_dataloader.dataset
    cfg.train_dataloader.update(dataset=dataset, batch_size=64, num_workers=0)
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'] = data.val_dataloader
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.optim_wrapper.pop('dtype', None)
    if cfg.custom_hooks[-1].schedule.get('cooldown'):
        cfg.custom_hooks[-1].schedule.cooldown = 1
    cfg.param_scheduler.warmup = 1
    shorten(cfg, tmp_path, 192, 64)
    runner = Runner.from_cfg(cfg)
    model = runner.model
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    runner.train()
    for key, parameter in model.named_parameters():
        assert not parameter.equal(before[key]), key
    metrics = runner.test()
    assert 0 <= metrics['accuracy/top1'] <= 100
    assert (tmp_path / 'train_log.json').stat().st_size
