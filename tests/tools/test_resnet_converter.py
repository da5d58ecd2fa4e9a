# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""ResNets with the names of other repositories become mmpretrain's."""

import pytest
import torch
from mmengine.registry import init_default_scope

from mask_plugins.models.converters import convert_resnet
from mask_plugins.registry import MODELS
from tests.common.tools import run_tool

TOOL = 'model_converters/resnet_to_mmpretrain'


def network(depth, **options):
    init_default_scope('mmpretrain')
    return MODELS.build(dict(type='ResNet', depth=depth, **options))


def stored(source, weights):
    """A file as the source writes it, its heads included."""
    extra = torch.ones(2, 2)
    return {
        'torchvision': lambda: {**weights, 'fc.weight': extra},
        'timm': lambda: dict(state_dict={**weights, 'fc.weight': extra}),
        'swav': lambda: {
            **{f'module.{k}': v for k, v in weights.items()},
            'module.projection_head.0.weight': extra,
            'module.prototypes.weight': extra,
        },
        'dino': lambda: dict(
            student={},
            teacher={
                **{f'module.backbone.{k}': v for k, v in weights.items()},
                'module.head.last_layer.weight_g': extra,
            },
            epoch=3,
        ),
        'moco': lambda: dict(
            state_dict={
                **{f'module.encoder_q.{k}': v for k, v in weights.items()},
                **{f'module.encoder_k.{k}': -v for k, v in weights.items()},
                'module.encoder_q.fc.weight': extra,
                'module.queue': extra,
            }
        ),
    }[source]()


@pytest.mark.parametrize(
    ('source', 'depth'),
    [
        ('torchvision', 18),
        ('timm', 34),
        ('swav', 50),
        ('dino', 50),
        ('moco', 50),
    ],
)
def test_the_weights_are_those_of_the_source(
    tmp_path, monkeypatch, capsys, source, depth
):
    weights = network(depth).state_dict()
    torch.save(stored(source, weights), tmp_path / 'original.pth')
    target = tmp_path / 'converted.pth'
    original = tmp_path / 'original.pth'
    run_tool(monkeypatch, TOOL, original, target, '--source', source)
    assert f'depth={depth}' in capsys.readouterr().out
    model = network(
        depth,
        init_cfg=dict(
            type='Pretrained', checkpoint=str(target), prefix='backbone.'
        ),
    )
    model.init_weights()
    state = model.state_dict()
    assert all(torch.equal(state[k], v) for k, v in weights.items())


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda w: {f'x.{k}': v for k, v in w.items()}, 'no conv1.weight'),
        (
            lambda w: {k: v for k, v in w.items() if 'layer3.1' not in k},
            'blocks of 2 convolutions',
        ),
        (
            lambda w: {k: v for k, v in w.items() if k != 'layer2.0.bn1.bias'},
            'layer2.0.bn1.bias',
        ),
        (
            lambda w: {
                **w,
                'layer1.0.conv1.weight': torch.ones(128, 64, 3, 3),
            },
            'width 128',
        ),
    ],
)
def test_another_network_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        convert_resnet(change(dict(network(18).state_dict())))


def test_unknown_source():
    with pytest.raises(ValueError, match='source'):
        convert_resnet({}, 'keras')
