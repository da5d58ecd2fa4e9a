# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A script for the authors' package of Self-Masking Networks runs here.

With a model of torchvision, or of timm where that extra is installed.
"""

import importlib.util

import pytest
import torch
import torchvision
from torch import nn

from mask_plugins.compat.subnetworks.submasking import (
    SubmaskedModel,
    positive_scores_init,
)

HAS_TIMM = importlib.util.find_spec('timm') is not None
needs_timm = pytest.mark.skipif(
    not HAS_TIMM, reason='timm is not installed (the extra `timm`)'
)

# As a script for the authors' package: `model` is any image classifier.
SCRIPT = """
import torch
from subnetworks.submasking import SubmaskedModel, normal_scores_init

def parameter_selection(name, param):
    if 'conv' in name or 'downsample' in name:
        return 'mask', name
    if name.startswith('fc'):
        return 'train'
    return 'freeze'

submasked = SubmaskedModel(
    model,
    parameter_selection,
    scale=True,
    scores_init=normal_scores_init(1.0, 0.0),
    test_input=None,
    prune_criterion='threshold',
    k=lambda ctx: 0.0,
    shell_mode='replace',
)
optimizer = torch.optim.SGD(
    [p for p in submasked.parameters() if p.requires_grad],
    lr=50.0, momentum=0.9,
)
losses = []
for step in range(3):
    out = submasked(x, ctx=dict(epoch=step))
    loss = torch.nn.functional.cross_entropy(out, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
stats = submasked.analyze(dict(epoch=3))
masks = submasked.get_masks(dict(epoch=3))
"""


def run_script(model):
    """Run it with nothing but its import line changed."""
    line = 'from subnetworks.submasking import'
    assert SCRIPT.count(line) == 1
    ours = SCRIPT.replace(line, f'from mask_plugins.compat.{line[5:]}')
    torch.manual_seed(1)
    scope = dict(model=model, x=torch.rand(4, 3, 32, 32), y=torch.arange(4))
    exec(ours, scope)
    return scope


def torchvision_model():
    return torchvision.models.resnet18(num_classes=10)


def timm_model():
    import timm

    return timm.create_model('resnet18', pretrained=False, num_classes=10)


@pytest.mark.parametrize(
    'build', [torchvision_model, pytest.param(timm_model, marks=needs_timm)]
)
def test_script(build):
    torch.manual_seed(0)
    model = build()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    scope = run_script(model)
    torch.manual_seed(1)
    fresh = build()
    fresh.load_state_dict(before)
    dense = nn.functional.cross_entropy(fresh(scope['x']), scope['y'])
    assert scope['losses'][0] == dense.item()  # all on: the model itself
    masks, stats = scope['masks'], scope['stats']
    assert len(masks) == 26
    on, off = stats['total_on'], stats['total_off']
    assert on + off == sum(mask.numel() for mask in masks) == 11168704
    assert on == sum(mask.sum().item() for mask in masks)
    assert off > 0
    assert stats['mean_mask_conv1.weight'] == masks[0].mean().item()
    frozen = [name for name, p in fresh.named_parameters() if 'fc' not in name]
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    assert not torch.equal(after['fc.weight'], before['fc.weight'])


@needs_timm
def test_timm_vision_transformer():
    """By default everything is masked: tokens, positions, norms, biases."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model(
        'vit_tiny_patch16_224', pretrained=False, img_size=32, num_classes=4
    ).eval()
    x = torch.rand(2, 3, 32, 32)
    expected = model(x)
    count = len(list(model.parameters()))
    masked = SubmaskedModel(model, scores_init=positive_scores_init)
    assert torch.equal(masked(x), expected)
    assert len(masked.scores) == count
    masked(x).sum().backward()
    assert all(s.grad is not None for s in masked.scores.values())
    with torch.no_grad():
        masked.scores['pos_embed'].fill_(-1)
    assert not torch.equal(masked(x), expected)
