# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Loading, sweeping and looking into models that anyone may have trained."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmpretrain.engine.hooks import EMAHook

from mask_plugins import datasets
from mask_plugins.analysis.tokens import patch_images
from mask_plugins.analysis.tokens.drop_sweep import sweep_drop_ratios
from mask_plugins.analysis.tokens.flops import count_gflops
from mask_plugins.analysis.tokens.patch_distribution import count_kept_patches
from mask_plugins.apis import data as data_loading
from mask_plugins.apis.model import load_trained_model
from mask_plugins.apis.preprocess import preprocess
from mask_plugins.core.tokens import keep_count
from mask_plugins.models.backbones import PSSVisionTransformer
from tests.common.rounding import error, rounding
from tests.evaluation.models import BEIT, PSS, RESNET, VIT, build, write_model

RATIOS = [0.0, 0.4, 0.8]


def load(paths, *args, **kwargs):
    cfg = Config.fromfile(paths[0])
    model = load_trained_model(cfg, paths[1], *args, device='cpu', **kwargs)
    return cfg, model


def loader_of(cfg, **options):
    dataset = data_loading.build_test_set(cfg)
    return data_loading.build_test_loader(cfg, dataset, **options)


def first_batch(cfg, model):
    batch = next(iter(loader_of(cfg, batch_size=16)))
    return batch, preprocess(model, batch)


@torch.no_grad()
def logits_of(model, images, drop_ratio=0.0):
    model.backbone.drop_ratio = drop_ratio
    return model(images, mode='tensor')


# ----------------------------------------------------------------- loading
@pytest.mark.parametrize('backbone', [PSS, BEIT, VIT])
def test_any_vit_drops_and_computes_what_it_did(backbone, tmp_path):
    paths = write_model(tmp_path, backbone)
    cfg, model = load(paths, RATIOS)
    _, images = first_batch(cfg, model)
    stock = build(paths[0])
    with torch.no_grad():
        expected = stock(images, mode='tensor')
    full, few = (logits_of(model, images, ratio) for ratio in (0.0, 0.4))
    assert not model.training
    assert not model.backbone.training
    assert error(full, expected) < rounding(stock)
    assert (few - full).abs().max() > 1e-3


def test_a_backbone_that_cannot_drop(tmp_path):
    paths = write_model(tmp_path, RESNET)
    with pytest.raises(ValueError, match='ResNet cannot drop tokens'):
        load(paths, [0.0, 0.2])
    cfg, model = load(paths, [0.0])
    (record,) = sweep_drop_ratios(model, loader_of(cfg, limit=5), [0.0])
    assert record['tokens'] is None
    assert record['flops'] > 0


def test_beit_settings_that_would_be_lost(tmp_path):
    paths = write_model(tmp_path, dict(BEIT, bias=True))
    with pytest.raises(ValueError, match='bias=True'):
        load(paths, RATIOS)


def test_weights_that_do_not_fit(tmp_path):
    config, _ = write_model(tmp_path, PSS)
    _, other = write_model(tmp_path / 'b', dict(PSS, patch_size=2), 'other')
    with pytest.raises(ValueError, match=r'other\.pth do not fit') as error:
        load((config, other), RATIOS)
    assert 'patch_embed.projection.weight' in str(error.value)
    with pytest.raises(FileNotFoundError, match='nothing'):
        load((config, str(tmp_path / 'nothing.pth')), RATIOS)
    with pytest.raises(ValueError, match='scorer'):
        load(write_model(tmp_path, PSS), RATIOS, scorer='best')


def test_stock_checkpoints_hold_a_log_history(tmp_path):
    config, checkpoint = write_model(tmp_path, PSS)
    content = torch.load(checkpoint, weights_only=True)
    hub = MessageHub.get_instance('test_stock_checkpoints')
    hub.update_scalar('train/loss', 1.0)
    hub.update_info('score', np.float64(3))
    content['message_hub'] = hub.state_dict()
    state_dict = content['state_dict']
    content['state_dict'] = {f'module.{k}': v for k, v in state_dict.items()}
    torch.save(content, checkpoint)
    _, model = load((config, checkpoint), RATIOS)
    key = 'backbone.cls_token'
    assert torch.equal(model.state_dict()[key], state_dict[key])


@pytest.mark.parametrize('where', ['custom_hooks', 'default_hooks'])
@pytest.mark.parametrize('on_ema', [True, False, None])
def test_weights_are_those_that_the_run_evaluated(
    on_ema, where, tmp_path, capsys
):
    config, checkpoint = write_model(tmp_path, PSS)
    cfg = Config.fromfile(config)
    hook = dict(type='mmpretrain.EMAHook', momentum=0.5)
    if on_ema is not None:
        hook.update(evaluate_on_ema=on_ema, evaluate_on_origin=not on_ema)
    cfg[where] = [hook] if where == 'custom_hooks' else dict(ema=hook)
    trained, average = save_with_ema(cfg, checkpoint)
    model = load_trained_model(cfg, checkpoint, RATIOS, device='cpu')
    expected = trained if on_ema is False else average
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key
    printed = capsys.readouterr().out
    assert ('trained weights' in printed) == (on_ema is False)


def test_no_average_in_the_file(tmp_path, capsys):
    config, checkpoint = write_model(tmp_path, PSS)
    cfg = Config.fromfile(config)
    cfg.custom_hooks = [dict(type='EMAHook', evaluate_on_ema=False)]
    load_trained_model(cfg, checkpoint, RATIOS, device='cpu')
    assert capsys.readouterr().out == ''


def save_with_ema(cfg, checkpoint):
    """Save as a run does; the trained weights and their average."""
    model = build(cfg.filename)
    hook = EMAHook(momentum=0.5)
    hook.before_run(SimpleNamespace(model=model))
    hook.ema_model.update_parameters(model)  # the first one copies
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    hook.ema_model.update_parameters(model)
    models = model, hook.ema_model.module
    trained, average = (copy.deepcopy(m.state_dict()) for m in models)
    key = 'backbone.cls_token'
    assert torch.allclose(trained[key] - average[key], torch.tensor(0.5))
    content = dict(state_dict=model.state_dict())
    hook.before_save_checkpoint(None, content)
    torch.save(content, checkpoint)
    return trained, average


# -------------------------------------------------------------------- data
def test_each_image_is_seen_once_and_a_part_is_spread(tmp_path):
    cfg = Config.fromfile(write_model(tmp_path)[0])
    dataset = data_loading.build_test_set(cfg)
    labels = [x for b in loader_of(cfg) for x in data_loading.labels_of(b)]
    assert labels == datasets.subset.labels_of(dataset).tolist()
    few = loader_of(cfg, batch_size=4, limit=10)
    assert [len(batch['inputs']) for batch in few] == [4, 4, 2]
    assert few.dataset.indices[0] == 0
    assert few.dataset.indices[-1] == len(dataset) - 1


def test_default_images_are_one_per_class(tmp_path):
    cfg = Config.fromfile(write_model(tmp_path)[0])
    dataset = data_loading.build_test_set(cfg)
    indices = data_loading.first_of_each_class(dataset)
    batch = data_loading.load_samples(dataset, indices)
    assert data_loading.labels_of(batch) == list(range(8))
    with pytest.raises(ValueError, match='got 364'):
        data_loading.load_samples(dataset, [364])


# ------------------------------------------------------------------- sweep
def test_sweep(tmp_path):
    cfg, model = load(write_model(tmp_path), RATIOS)
    loader = loader_of(cfg)
    records = sweep_drop_ratios(model, loader, RATIOS)
    assert [r['drop_ratio'] for r in records] == RATIOS
    counts = [keep_count(17, ratio) for ratio in RATIOS]
    assert [r['tokens'] for r in records] == counts
    images = torch.cat([preprocess(model, batch) for batch in loader])
    labels = [x for batch in loader for x in data_loading.labels_of(batch)]
    labels = torch.tensor(labels)
    for record in records:
        logits = logits_of(model, images, record['drop_ratio'])
        right = (logits.argmax(1) == labels).float().mean().item()
        assert record['acc1'] == pytest.approx(100 * right, abs=0.3)
        assert record['acc5'] > record['acc1']
        loss = torch.nn.functional.cross_entropy(logits, labels).item()
        assert record['loss'] == pytest.approx(loss, rel=1e-3)
        assert record['images'] == 364
        assert record['throughput'] > 0
        assert 0 < record['time'] < 600
    assert records[0]['flops'] > records[1]['flops'] > records[2]['flops']


def test_the_ratio_is_zero_again_after_an_error(tmp_path):
    cfg, model = load(write_model(tmp_path), RATIOS)
    with pytest.raises(ValueError, match='no images'):
        sweep_drop_ratios(model, [], RATIOS)
    batch, _ = first_batch(cfg, model)
    del batch['data_samples'][3].gt_label
    with pytest.raises(ValueError, match='gt_label'):
        sweep_drop_ratios(model, [batch], RATIOS)
    assert model.backbone.drop_ratio == 0


@pytest.mark.parametrize('drop_ratio', [0.0, 0.4])
@pytest.mark.parametrize('fused', [True, False])
def test_operations_are_those_of_the_formula(fused, drop_ratio):
    model = PSSVisionTransformer(
        arch=dict(
            embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=128
        ),
        img_size=32,
        patch_size=4,
        drop_ratio=drop_ratio,
        fused_attn=fused,
    )
    model.eval()
    n, c, patches = keep_count(65, drop_ratio), 32, 64
    blocks = 3 * (12 * n * c**2 + 2 * n**2 * c)
    embedding = patches * 3 * 4 * 4 * c
    count = count_gflops(model, torch.zeros(1, 3, 32, 32))
    assert count == pytest.approx((blocks + embedding) / 1e9, rel=1e-9)


# ----------------------------------------------------------------- patches
@pytest.mark.parametrize('backbone', [PSS, VIT])
def test_collected_patches(backbone, tmp_path):
    cfg, model = load(write_model(tmp_path, backbone), RATIOS)
    batch, images = first_batch(cfg, model)
    targets = data_loading.labels_of(batch)
    record = patch_images.collect_patches(model, images, targets, RATIOS)
    assert record['grid'] == [4, 4]
    for number, ratio in enumerate(RATIOS):
        rows, tokens = record['kept_patches'][number]
        count = keep_count(17, ratio)
        assert rows == [i for i in range(16) for _ in range(count)]
        tokens = np.array(tokens).reshape(16, count)
        assert (tokens[:, 0] == 0).all()
        assert all(len(set(row)) == count for row in tokens.tolist())
        logits = logits_of(model, images, ratio)
        assert np.allclose(record['logits'][number], logits.numpy())
    assert np.allclose(record['images'], images.numpy(), atol=1e-4)
    mean = patch_images.normalization(model)['mean']
    assert mean == pytest.approx([77.8] * 3)


@pytest.mark.parametrize('scorer', ['magnitude', 'random'])
def test_counts_of_kept_patches(scorer, tmp_path):
    cfg, model = load(write_model(tmp_path), RATIOS, scorer=scorer)
    loader = loader_of(cfg, limit=50)
    data = count_kept_patches(model, loader, RATIOS)
    assert data['num_images'] == 50
    assert data['scorer'] == scorer
    assert data['counts'][0] == [50] * 16
    for counts, ratio in zip(data['counts'], RATIOS):
        assert sum(counts) == 50 * (keep_count(17, ratio) - 1)
    if scorer == 'magnitude':
        tokens = []
        model.backbone.drop_ratio = 0.8
        for batch in loader:
            images = preprocess(model, batch)
            (_, kept), _ = model.backbone.get_patch_info(images)
            tokens += kept.tolist()
        expected = [tokens.count(i) for i in range(1, 17)]
        assert data['counts'][2] == expected


def test_channels():
    for to_rgb, pipeline, from_files, order in (
        (True, [dict(type='LoadImageFromFile')], False, 'rgb'),
        (False, [dict(type='LoadImageFromFile')], False, 'bgr'),
        (False, [], False, 'rgb'),
        (False, [], True, 'bgr'),
    ):
        loader = dict(dataset=dict(pipeline=pipeline))
        cfg = Config(dict(model=dict(), test_dataloader=loader))
        cfg.data_preprocessor = dict(to_rgb=to_rgb)
        assert data_loading.channel_order(cfg, from_files) == order
