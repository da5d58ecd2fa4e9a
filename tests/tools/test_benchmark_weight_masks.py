# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The benchmark measures what it says; none of this depends on a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mask_plugins.benchmarks.weight_mask_chart import (
    plot_weight_mask_benchmark,
)
from mask_plugins.benchmarks.weight_mask_costs import held_bytes
from mask_plugins.benchmarks.weight_mask_steps import MaskStepBuilder, masks_of
from mask_plugins.benchmarks.weight_masks import WeightMaskBenchmark
from mask_plugins.core.weights import ScoreMask, mask_report, named_masks
from mask_plugins.utils.timing import Case, peak_memory
from tests.common.tools import run_benchmark


def test_tool_writes_json_and_a_picture(tmp_path, monkeypatch, capsys):
    printed, result = run_benchmark(
        monkeypatch, capsys, tmp_path, 'benchmarks/weight_masks',
        archs='resnet20', batch_size=2, image_size=16, rounds=1, warmup=1,
        device='cpu',
    )  # fmt: skip
    assert 'round 2/2' in printed
    assert 'resnet20, score: training step to dense' in printed
    assert 'target 1.04' in printed
    rows = {row['kind']: row for row in result['steps']}
    assert tuple(rows) == MaskStepBuilder.KINDS
    assert rows['dense']['to_dense']['median'] == 1
    for kind, row in rows.items():
        assert row['ms']['median'] > 0
        if kind == 'dense':
            continue
        # 19 convolutions of 3 x 3, and the two shortcuts of 1 x 1
        assert row['masked'] == 267_696 + 16 * 32 + 32 * 64
        speed = 1e9 * row['copy_gb_per_s']
        assert row['bound_ms'] == pytest.approx(
            1000 * 24 * row['masked'] / speed
        )
        own = 56 if 'soft' in kind else 24
        assert row['own_bound_ms'] == pytest.approx(row['bound_ms'] * own / 24)
        # masks and effective weights, at the least
        assert row['extra_bytes_per_weight'] > 4
        assert row['alone_ms']['median'] > 0
    # What the obvious implementation keeps in addition is there.
    for ours, plain in (
        ('score', 'plain_score'),
        ('soft_penalty', 'plain_soft_penalty'),
    ):
        extra = rows[plain]['extra_bytes_per_weight']
        assert extra > rows[ours]['extra_bytes_per_weight'] + 3.5
    kinds = [row['kind'] for row in result['inference']]
    assert kinds == ['dense', 'score', 'merged']
    (adapter,) = result['adapters']
    assert adapter['packed_bytes'] == adapter['masked'] // 8
    assert adapter['fp32_to_packed'] == 32
    assert adapter['file_bytes'] > adapter['packed_bytes']
    assert 0.9 < adapter['density'] < 1
    assert len(result['targets']) == 4 * 3 + 1 + 2
    assert result['machine']['torch'] == torch.__version__
    titles = [ax.get_title() for ax in plot_weight_mask_benchmark(result).axes]
    assert titles == ['training step', 'masks alone', 'extra peak memory']


@pytest.mark.parametrize(
    ('arch', 'published', 'convolutions'),
    [
        # with the norms of the shortcuts; Warmerdam et al.
        ('resnet18', 11_168_704, 11_166_912),
        ('resnet50', 23_462_592, 23_454_912),
    ],
)
def test_selection_is_the_published_one(arch, published, convolutions):
    builder = MaskStepBuilder()
    report = mask_report(builder.network(arch, 'score'))
    norms = sum(row.size for row in report.rows if len(row.shape) == 1)
    assert report.size == published
    assert report.size - norms == convolutions


@pytest.mark.parametrize('kind', ['score', 'soft_penalty'])
def test_yardstick_computes_the_same(kind):
    """Losses agree: it does the same work, only plainly.

    After the first step scores at the threshold fall to this side or that by
    their last bit, so that of hard masks only the first is compared.
    """
    builder = MaskStepBuilder()
    curves = []
    for name in (kind, f'plain_{kind}'):
        trained = builder.training('resnet20', name, 4, 16)
        images, labels = builder.batch(4, 16)
        for group in trained.optimizer.param_groups:
            group['lr'] = 0.5
        losses = []
        for _ in range(3):
            trained.case.prepare()
            trained.case.step()
            with torch.no_grad():
                losses.append(F.cross_entropy(trained.model(images), labels))
        curves.append(torch.stack(losses))
    steps = 1 if kind == 'score' else 3
    ours, plain = (curve[:steps] for curve in curves)
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4)
    assert curves[0][0] != curves[0][-1]


def test_steps_train_what_they_should():
    builder = MaskStepBuilder()
    trained = builder.training('resnet20', 'score', 2, 16)
    before = {k: v.clone() for k, v in trained.model.state_dict().items()}
    trained.case.prepare()
    trained.case.step()
    after = trained.model.state_dict()
    masked = {item.name for item in named_masks(trained.model)}
    for key, parameter in trained.model.named_parameters():
        moved = not torch.equal(before[key], after[key])
        assert moved == (key not in masked), key
        assert parameter.requires_grad == (key not in masked)


@pytest.mark.parametrize('kind', MaskStepBuilder.KINDS[1:])
def test_operations_are_forward_and_backward_of_all_masks(kind):
    builder = MaskStepBuilder()
    pairs = masks_of(model := builder.network('resnet20', kind))
    assert len(pairs) == 21
    before = [next(mask.parameters()).detach().clone() for mask, _ in pairs]
    case = builder.operations(model)
    case.prepare()
    case.step()
    for (mask, weight), old in zip(pairs, before):
        (own,) = mask.parameters()
        assert own.grad is not None
        assert (weight.grad is not None) == ('soft' in kind)
        # the step over the logits is in it, that over scores is not
        assert own.equal(old) == ('score' in kind)


def test_inference_of_merged_weights_is_that_of_masked_ones():
    builder = MaskStepBuilder()
    images, _ = builder.batch(2, 16)
    masked = builder.network('resnet20', 'score').eval()
    merged = builder.network('resnet20', 'merged').eval()
    dense = builder.network('resnet20').eval()
    assert type(merged.backbone.conv1) is type(dense.backbone.conv1)
    assert merged.state_dict().keys() == dense.state_dict().keys()
    with torch.no_grad():
        assert merged(images).equal(masked(images))
        assert not merged(images).equal(dense(images))
    cases = builder.cases('resnet20', 2, 16)
    assert set(cases) == {'dense', 'score', 'merged'}


def test_memory_that_is_held_counts_shared_storage_once():
    layer = nn.Linear(8, 8, bias=False)
    tied = nn.ModuleList([layer, nn.Linear(8, 8, bias=False)])
    tied[1].weight = layer.weight
    optimizer = torch.optim.SGD(tied.parameters(), lr=0.1, momentum=0.9)
    assert held_bytes(tied, optimizer) == 4 * 64
    layer(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    assert held_bytes(tied, optimizer) == 2 * 4 * 64


def test_score_masks_take_no_more_memory_than_they_may():
    """Forward and backward of one layer: product, gradient, no more."""
    weight = nn.Parameter(torch.randn(512, 512))
    mask = ScoreMask(weight)
    weight.requires_grad_(False)
    grad = torch.randn(512, 512)

    def step():
        torch.autograd.backward(mask(weight), grad)
        mask.scores.grad = None

    mebibytes = weight.numel() * 4 / 2**20
    peak = peak_memory(Case(step))
    assert peak == pytest.approx(2 * mebibytes, rel=0.1)


@pytest.mark.gpu
def test_runs_on_a_gpu():
    small = dict(batch_size=4, image_size=32, rounds=1, warmup=1)
    form = dict(device='cuda', dtype='bf16', channels_last=True)
    result = WeightMaskBenchmark(archs=['resnet18'], **small, **form).run()
    assert result['machine']['gpu']
