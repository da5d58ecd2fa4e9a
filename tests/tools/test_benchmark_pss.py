# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The benchmark measures what it says; none of this depends on a time."""

import json

import pytest
import torch

from mask_plugins.benchmarks.bias_gather import GivenBias, dense_gather
from mask_plugins.benchmarks.pss import PSSBenchmark, cyclic_shares
from mask_plugins.benchmarks.pss_chart import plot_pss_benchmark
from mask_plugins.core.tokens import (
    gather_position_bias,
    relative_position_index,
    select_index_pairs,
)
from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.utils.timing import Case, peak_memory, time_interleaved
from tests.common.tools import run_tool

TOOL = 'benchmarks/pss'
TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


def test_tool_writes_json_and_a_picture(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'sub' / 'pss.json'
    run_tool(
        monkeypatch,
        TOOL,
        '--quick',
        *('--arch', 'tiny', '--image-size', 64, '--layers', 1),
        *('--batch-size', 1, '--gather-batch-size', 1, '--rounds', 2),
        *('--warmup', 0, '--out', out),
    )
    printed = capsys.readouterr().out
    assert 'round 2/2' in printed
    assert 'target 1.05' in printed
    assert out.with_suffix('.png').stat().st_size
    result = json.loads(out.read_text())

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
    assert result['schedule'][0]['mac_ideal'] == pytest.approx(
        sum(
            share
            * next(
                row['mac_ideal']
                for row in steps
                if row['drop_ratio'] == float(ratio)
            )
            for ratio, share in result['schedule'][0]['shares'].items()
        )
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
    result = PSSBenchmark(
        archs=['tiny'],
        image_size=32,
        batch_size=1,
        layers=1,
        drop_ratios=[0.5],
        modes=['infer'],
        gather_batch_size=0,
        rounds=1,
        warmup=0,
        dtype='bf16',
        log=lines.append,
    ).run()
    assert [row['drop_ratio'] for row in result['steps'][:3:2]] == [0.0, 0.5]
    assert result['schedule'] == result['targets'] == []
    assert result['gather'] is result['lookup'] is None
    assert lines
    json.dumps(result)
    assert len(plot_pss_benchmark(result).axes) == 1


def test_cases_take_turns():
    calls = []
    cases = {
        name: Case(
            lambda name=name: calls.append(name),
            lambda name=name: calls.append(f'prepare {name}'),
        )
        for name in 'abc'
    }
    done = []
    times = time_interleaved(
        cases,
        rounds=3,
        iters=2,
        warmup=1,
        progress=lambda *args: done.append(args),
    )
    assert {name: len(values) for name, values in times.items()} == {
        'a': 3,
        'b': 3,
        'c': 3,
    }
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    orders = set()
    for start in range(0, len(calls), 9):
        turn = calls[start : start + 9]
        order = ''.join(turn[1::3])
        assert turn == [
            call for name in order for call in (f'prepare {name}', name, name)
        ]
        assert sorted(order) == ['a', 'b', 'c']
        orders.add(order)
    assert len(orders) > 1


def test_peak_memory_counts_what_a_step_allocates():
    def step():
        first = torch.zeros(2**18)  # 1 MiB
        second = first + 1
        del first
        return second * 2

    assert peak_memory(Case(step)) == pytest.approx(2, abs=0.1)


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
    gathered = PSSVisionTransformer(
        arch=TINY, img_size=32, patch_size=8, drop_ratio=0.4
    )
    given = PSSVisionTransformer(
        arch=TINY,
        img_size=32,
        patch_size=8,
        drop_ratio=0.4,
        use_rel_pos_bias=False,
    )
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


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(archs=['huge']), "arch must be one of .* got 'huge'"),
        (dict(dtype='int8'), "dtype .* got 'int8'"),
        (dict(image_size=100), 'image_size .* got 100'),
        (dict(batch_size=0), 'batch_size .*got 0'),
        (dict(layers=0), 'layers .*at least 1.*got 0'),
        (dict(modes=['test']), "modes .* got 'test'"),
        (dict(drop_ratios=[1.0]), r'in \[0, 1\), got 1.0'),
        (dict(device='cuda', clock='cpu'), "device='cuda'"),
    ],
)
def test_bad_settings(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PSSBenchmark(**kwargs)


def test_bad_rounds():
    with pytest.raises(ValueError, match='rounds must be .*, got 0'):
        time_interleaved({}, rounds=0)
    with pytest.raises(ValueError, match="clock must be .* got 'sun'"):
        time_interleaved({}, rounds=1, clock='sun')


def test_tool_refuses_before_it_measures(tmp_path, monkeypatch):
    out = tmp_path / 'pss.json'
    with pytest.raises(SystemExit, match='image_size'):
        run_tool(monkeypatch, TOOL, '--image-size', 100, '--out', out)
    with pytest.raises(SystemExit, match='2'):
        run_tool(monkeypatch, TOOL, '--out', tmp_path / 'pss.txt')
    assert not list(tmp_path.iterdir())
