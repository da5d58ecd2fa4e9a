# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Score masks against the values of the authors' code.

What concerns their training is in ``test_smn_training``.
"""

import functools
import math

import pytest
import torch
from mmpretrain.models import VisionTransformer
from torch import nn
from torchvision.models import resnet18, resnet50

from mask_plugins.compat.subnetworks.submasking import (
    SubmaskedModel,
    default_scores_init,
    magnitude_scores_init,
    normal_scores_init,
    positive_scores_init,
)
from mask_plugins.core.weights import (
    SCORE_INITS,
    ScoreMask,
    apply_weight_masks,
    mask_report,
    named_masks,
    pack_masks,
    score_mask,
)

from .golden import Case, Golden, bump, changed, close, named, tensor
from .golden import wave as fill

golden = Golden('self_masking')


# ----------------------------------------------------------------- functions
@golden(
    'get_subnet',
    '{mode}-{k}',
    mask=bump('mask'),
    straight_through=bump('grad_scores'),
)
def test_get_subnet(case):
    scores = tensor(case['scores']).requires_grad_()
    expected = case['mask']
    if case['mode'] == 'threshold' and case['k'] < 0:
        # The original compares twice, so that all is on; ours is the rule.
        expected = [float(score > case['k']) for score in case['scores']]
    mask = score_mask(scores, case['mode'], case['k'])
    close(mask, expected, 0)
    mask.backward(torch.arange(1.0, mask.numel() + 1, dtype=torch.float64))
    close(scores.grad, case['grad_scores'], 0)


@golden.instead('bug_topk_channels_last_mask_is_raw_scores')
def test_topk_of_channels_last():
    scores = torch.randn(4, 3, 3, 3)
    expected = score_mask(scores, 'topk', 0.3)
    scores = scores.to(memory_format=torch.channels_last)
    assert torch.equal(score_mask(scores, 'topk', 0.3), expected)
    assert expected.sum() == 33


@golden.instead('threshold_nan_score_gives_nan')
@pytest.mark.parametrize('criterion', ['threshold', 'topk'])
def test_nan_is_off(criterion):
    scores = torch.tensor([0.5, torch.nan, 1.0, -1.0])
    assert score_mask(scores, criterion, 0.5).tolist() == (
        [0, 0, 1, 0] if criterion == 'threshold' else [1, 0, 1, 0]
    )


def seeded(init, shape):
    """Scores as the authors' interface writes them."""
    torch.manual_seed(0)
    scores = torch.zeros(shape)
    init([scores], [torch.zeros(shape)])
    return scores


@golden('scores_init', initial=bump('default_seed0_first5'))
def test_scores_init(case):
    scores = seeded(default_scores_init, (4, 3, 3, 3))
    close(scores.flatten()[:5], case['default_seed0_first5'], 0)
    assert float(scores.abs().max()) == case['default_max_abs']
    assert case['default_max_abs'] <= case['default_max_abs_bound']
    close(case['default_max_abs_bound'], 1 / math.sqrt(27), 1e-7)
    torch.manual_seed(0)
    named = ScoreMask(torch.zeros(4, 3, 3, 3), init='kaiming')
    assert torch.equal(named.scores, scores)
    vector = seeded(default_scores_init, len(case['default_1d']))
    close(vector, case['default_1d'], 0)
    normal = case['normal_mean1_std0p5_seed0']
    found = seeded(normal_scores_init(1, 0.5), len(normal))
    close(found, normal, 0)
    magnitude = case['magnitude_mean0p1_std0']
    weight = fill((2, 3), 0.9, 0.2)
    scores = torch.zeros(2, 3)
    magnitude_scores_init(0.1, 0)(scores, weight)
    close(scores, magnitude, 1e-6)
    found = SCORE_INITS['magnitude'](weight.float(), mean=0.1, std=0.0)
    close(found, magnitude, 1e-6)
    scores = torch.zeros(3)
    positive_scores_init(scores, scores)  # a TypeError in the original
    assert scores.tolist() == [1, 1, 1]


# ---------------------------------------------------------------- tiny model
class Tiny(nn.Module):
    """conv(2,3,3) -> bn -> relu -> mean -> fc, its weights by formula."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 2)
        self.double()
        for j, (name, p) in enumerate(self.named_parameters()):
            p.data = fill(p.shape, 0.7 + 0.1 * j, 0.3 * j)
            if name == 'bn.weight':
                p.data += 1

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


RULES = (
    ('conv.*', 'mask'),
    ('bn.*', 'freeze'),
    ('fc.weight', 'mask'),
    ('fc.bias', 'train'),
)
SELECTION = {
    'conv.weight': ('mask', 'conv'),
    'conv.bias': ('mask', 'conv'),
    'bn.weight': 'freeze',
    'bn.bias': 'freeze',
    'fc.weight': ['mask', 'head'],
    'fc.bias': 'train',
}


def masked_tiny(case):
    level = 'keep_ratio' if case['criterion'] == 'topk' else 'threshold'
    options = {key: case[key] for key in ('criterion', 'scale')}
    mask = functools.partial(ScoreMask, **options, **{level: case['k']})
    return apply_weight_masks(Tiny(), RULES, mask)


def submasked_tiny(case, selection=SELECTION):
    return SubmaskedModel(
        Tiny(),
        lambda name, parameter: selection[name],
        scale=case['scale'],
        scores_init=normal_scores_init(1.0, 0.0),
        prune_criterion=case['criterion'],
        k=lambda ctx: case['k'],
        shell_mode=case['shell_mode'],
    )


def tiny_runs(key, value):
    for case in value['runs']:
        yield from (Case(case, compat=compat) for compat in (True, False))


def tiny_id(case):
    scale = 'scaled' if case['scale'] else 'unscaled'
    mode = 'train' if case['train'] else 'eval'
    code = 'compat' if case['compat'] else 'core'
    return f'{case["shell_mode"]}-{case["criterion"]}-{scale}-{mode}-{code}'


def flip_mask(case):
    row = case['masks']['fc_weight'][0]
    row[0] = 1 - row[0]


@golden(
    'tiny',
    tiny_id,
    tiny_runs,
    output=bump('out', by=1e-8),
    loss=bump('loss', by=1e-8),
    tiny_mask=changed(flip_mask),
    gradient=bump('grad_scores', 'fc_weight', by=1e-8),
    statistics=bump('running_var', by=1e-8),
    analyze=bump('analyze', 'total_off_conv'),
)
def test_tiny(case):
    compat = case['compat']
    model = (submasked_tiny if compat else masked_tiny)(case)
    model.train(case['train'])
    tiny = model.model_shell if compat else model
    items = list(named_masks(tiny))
    with torch.no_grad():
        for q, item in enumerate(items):
            scores = item.mask.scores
            scores.copy_(fill(scores.shape, 1.1 + 0.2 * q, 0.5 * q))
    out = model(fill((4, 2, 5, 5), 0.37, 0.1))
    loss = (out * fill((4, 2), 1.3, 0.2)).sum()
    loss.backward()
    close(out, case['out'])
    close(loss, case['loss'])
    for item in items:
        key = item.name.replace('.', '_')
        mask = score_mask(item.mask.scores, case['criterion'], case['k'])
        close(mask, case['masks'][key], 0)
        close(item.mask.scores.grad, case['grad_scores'][key])
        assert item.parameter.grad is None
    assert len(items) == len(case['masks'])
    close(tiny.fc.bias.grad, case['grad_fc_bias'])
    close(tiny.bn.running_mean, case['running_mean'])
    close(tiny.bn.running_var, case['running_var'])
    if compat:
        found = model.analyze()
        assert set(found) == set(case['analyze'])
        for key, expected in case['analyze'].items():
            close(found[key], expected)
    elif case['criterion'] != 'flip':
        report = mask_report(tiny)
        close(report.density, case['analyze']['mean_mask'])
        close(report.kept, case['analyze']['total_on'])


# -------------------------------------------------------------------- counts
def resnet(build):
    # as the authors' selection by substring
    return build(), [('*conv*', 'mask'), ('*downsample*', 'mask')]


def clip_tower():
    """The tower has a fused qkv, the authors' three matrices."""
    tower = VisionTransformer(arch='b', patch_size=32, pre_norm=True)
    rules = [('*.attn.qkv.*', 'mask', dict(chunks=3))]
    return tower, rules + [('*.attn.proj.*', 'mask'), ('*.ffn.*', 'mask')]


MODELS = dict(
    resnet18=lambda: resnet(resnet18),
    resnet50=lambda: resnet(resnet50),
    clip_vit_b32_visual=clip_tower,
)


@golden('mask_counts', '{name}', named, count=bump('value', 'masked'))
def test_mask_counts(case):
    with torch.device('meta'):
        model, rules = MODELS[case['name']]()
    apply_weight_masks(model, rules, ScoreMask)
    sizes = {i.name: i.parameter.numel() for i in named_masks(model)}
    others = {
        name: p.numel()
        for name, p in model.named_parameters()
        if '_mask.' not in name and not name.startswith('fc.')
    }
    norms = ('running_mean', 'running_var', 'num_batches_tracked')
    found = dict(
        masked=sum(sizes.values()),
        backbone_params=sum(others.values()),
        tensors=len(sizes),
        downsample_bn=sum(
            size for name, size in sizes.items() if '.downsample.1.' in name
        ),
        packed_bytes=sum(-(-size // 8) for size in sizes.values()),
        bn_buffers=sum(
            b.numel()
            for name, b in model.named_buffers()
            if name.endswith(norms)
        ),
    )
    for key, expected in case['value'].items():
        assert found[key] == expected, key


@golden('mask_counts', '{name}', named)
def test_packed(case):
    """What is written is one bit per weight."""
    model, rules = MODELS[case['name']]()
    apply_weight_masks(model, rules, ScoreMask)
    assert pack_masks(model).mask_bytes == case['value']['packed_bytes']
