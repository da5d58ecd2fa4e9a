# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The benchmark measures what it says; none of this depends on a time."""

import copy
import json
import re

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

from mask_plugins.benchmarks.bias_gather import GivenBias, dense_gather
from mask_plugins.benchmarks.pss import PSSBenchmark, cyclic_shares
from mask_plugins.benchmarks.pss_chart import plot_pss_benchmark
from mask_plugins.benchmarks.pss_others import (
    PatchDropoutViT,
    TokenMergingViT,
    merge_tokens,
    original_form,
)
from mask_plugins.benchmarks.pss_steps import PSSStepBuilder
from mask_plugins.core.tokens import (
    gather_position_bias,
    relative_position_index,
    select_index_pairs,
)
from mask_plugins.models.backbones import PSSVisionTransformer
from tests.common.tools import run_benchmark, run_tool

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


def test_tool_writes_json_and_a_picture(tmp_path, monkeypatch, capsys):
    printed, result = run_benchmark(
        monkeypatch, capsys, tmp_path, 'benchmarks/pss', arch='tiny',
        image_size=64, layers=1, batch_size=1, gather_batch_size=1, rounds=2,
        warmup=0,
    )  # fmt: skip
    assert 'round 2/2' in printed
    assert 'target 1.05' in printed
    steps = result['steps']
    # 2 models, 2 modes, 5 ratios
    assert len(steps) == 20
    kept = {row['drop_ratio']: row['tokens'] for row in steps}
    assert kept == {0.0: 17, 0.2: 14, 0.4: 10, 0.6: 7, 0.8: 3}
    for row in steps:
        assert row['ms']['low'] <= row['ms']['median'] <= row['ms']['high']
        assert row['peak_mib'] > 0
        if row['drop_ratio'] == 0:
            assert row['mac_ideal'] == row['to_drop_0']['median'] == 1
        macs = 12 * row['tokens'] * 192**2 + 2 * row['tokens'] ** 2 * 192
        full = 12 * 17 * 192**2 + 2 * 17**2 * 192
        assert row['mac_ideal'] == pytest.approx(macs / full)
        assert ('to_random' in row) == (row['model'] == 'pss')
    assert [row['model'] for row in result['schedule']] == ['pss', 'random']
    ideals = {str(row['drop_ratio']): row['mac_ideal'] for row in steps}
    schedule = result['schedule'][0]
    assert schedule['mac_ideal'] == pytest.approx(
        sum(ideals[ratio] * x for ratio, x in schedule['shares'].items())
    )
    assert result['gather']['drop_ratio'] == 0.4
    assert set(result['gather']['ms']) == {'gathered', 'given', 'none'}
    assert len(result['lookup']) == 8
    assert len(result['targets']) == 2
    machine = result['machine']
    assert machine['torch'] == torch.__version__
    assert machine['threads'] == torch.get_num_threads()
    assert machine['date']


def test_parts_can_be_left_out():
    lines = []
    small = dict(image_size=32, batch_size=1, layers=1, rounds=1, warmup=0)
    parts = dict(drop_ratios=[0.5], modes=['infer'], gather_batch_size=0)
    result = PSSBenchmark(
        archs=['tiny'], dtype='bf16', log=lines.append, **small, **parts
    ).run()
    assert [row['drop_ratio'] for row in result['steps'][:3:2]] == [0.0, 0.5]
    assert result['schedule'] == result['targets'] == []
    assert result['gather'] is result['lookup'] is None
    assert lines
    json.dumps(result)
    assert len(plot_pss_benchmark(result).axes) == 1


def test_shares_are_those_of_the_published_run():
    shares = cyclic_shares()
    assert sum(shares.values()) == pytest.approx(1)
    published = {0.8: 0.1115, 0.6: 0.2222, 0.4: 0.2222, 0.2: 0.2214, 0: 0.2226}
    assert shares == pytest.approx(published, abs=1e-3)


def test_compared_lookups_agree():
    generator = torch.Generator().manual_seed(0)
    index = relative_position_index((3, 4))
    table = torch.randn(5 * 7 + 3, 2, generator=generator)
    kept = torch.tensor([[0, 3, 1, 12], [0, 12, 7, 5]])
    torch.testing.assert_close(
        dense_gather(table, index, kept),
        gather_position_bias(table, select_index_pairs(index, kept)),
    )


def test_given_bias_is_the_same_attention():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 32, 32)
    small = dict(arch=TINY, img_size=32, patch_size=8, drop_ratio=0.4)
    gathered = PSSVisionTransformer(**small)
    given = PSSVisionTransformer(**small, use_rel_pos_bias=False)
    given.load_state_dict(gathered.state_dict(), strict=False)
    (_, token), (batch, n) = gathered.get_patch_info(images)
    kept = token.view(batch, n)
    index = select_index_pairs(gathered.position_index, kept)
    for layer, other in zip(gathered.layers, given.layers):
        table = layer.attn.relative_position_bias_table
        torch.nn.init.normal_(table)
        other.attn = GivenBias(other.attn, batch, n)
        bias = gather_position_bias(table.detach(), index)
        assert other.attn.bias.stride() == bias.stride()
        other.attn.bias.data.copy_(bias)
    torch.testing.assert_close(given(images)[0], gathered(images)[0])


def test_other_models():
    """Without timm: the original's form and token merging."""
    small = dict(image_size=32, batch_size=1, layers=2, rounds=1, warmup=0)
    others = dict(modes=['train'], others=['original', 'tome'])
    result = PSSBenchmark(
        archs=['tiny'], gather_batch_size=0, log=str, **small, **others
    ).run()
    models = [row['model'] for row in result['steps']]
    assert set(models) == {'pss', 'random', 'original', 'tome'}
    assert len(plot_pss_benchmark(result).axes) == 1


def test_the_originals_form_computes_the_same():
    builder = PSSStepBuilder(image_size=64)
    torch.manual_seed(0)
    ours = builder.pss(TINY).eval()
    for layer in ours.layers:
        torch.nn.init.normal_(layer.attn.relative_position_bias_table)
    theirs = original_form(copy.deepcopy(ours))
    images = torch.rand(2, 3, 64, 64)
    for ratio in (0.0, 0.6):
        ours.drop_ratio = theirs.drop_ratio = ratio
        torch.testing.assert_close(ours(images), theirs(images))


def test_token_merging():
    """Off it is the stock ViT; on, each patch is in one token."""
    torch.manual_seed(0)
    make = dict(arch=TINY, img_size=64, patch_size=16, out_type='avg_featmap')
    stock, merging = VisionTransformer(**make), TokenMergingViT(**make)
    stock.eval()
    merging.eval()
    state = {
        re.sub(r'^(layers\.\d+)', r'\1.layer', key): value
        for key, value in stock.state_dict().items()
    }
    merging.load_state_dict(state)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(merging(images), _mean_of(stock, images))
    merging.drop_ratio = 0.6
    assert merging(images)[0].isfinite().all()
    x, size = torch.rand(2, 17, 4), torch.ones(2, 17, 1)
    merged, sizes = merge_tokens(x, size, x, 8)
    assert merged.shape == (2, 9, 4)
    assert sizes.sum(1).flatten().tolist() == [17, 17]
    torch.testing.assert_close((merged * sizes).sum(1), x.sum(1))
    assert torch.equal(merged[:, 0], x[:, 0])


def _mean_of(stock, images):
    """The mean of the normed tokens; mmpretrain norms the mean again."""
    stock.out_type = 'raw'
    return (stock(images)[0][:, 1:].mean(dim=1),)


def test_patch_dropout():
    pytest.importorskip('timm')
    model = PatchDropoutViT(TINY, image_size=32, patch_size=16)
    model.drop_ratio = 0.5
    assert model(torch.rand(2, 3, 32, 32))[0].shape == (2, 32)


def test_gpu_part_says_that_there_is_none(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    run_tool(monkeypatch, 'benchmarks/pss', '--gpu')
    assert 'skipped: --gpu needs a GPU' in capsys.readouterr().out
