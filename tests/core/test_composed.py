# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every family that changes the class of a module: copied, sent and undone.

Nothing may get lost where a patched model is pickled, saved whole, copied or
handed to another process, and taking the patch off gives the stock model.
"""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
import torch.multiprocessing
from mmpretrain.models import ResNet, VisionTransformer
from torch import nn

import mask_plugins as mp
from mask_plugins.core.composed import Composed, compose, stock_class
from mask_plugins.core.weights import (
    ScoreMask,
    SoftMask,
    remove_weight_masks,
)
from mask_plugins.models.penalized_model import (
    add_mask_penalty,
    remove_mask_penalty,
)
from tests.core.weights.nets import classes


class Net(nn.Module):
    """Reads the weight of a child, and is of mmengine's kind."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x, mode='tensor'):
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        x = nn.functional.linear(x, self.fc.weight)
        return dict(loss=x.square().mean()) if mode == 'loss' else x


def masks(make, model):
    torch.manual_seed(1)
    return mp.apply_weight_masks(model, [('*.weight', 'mask')], make)


def penalty(model):
    return add_mask_penalty(masks(SoftMask, model), 0.1)


def no_penalty(model):
    return remove_weight_masks(remove_mask_penalty(model))


def vit():
    return VisionTransformer(
        dict(embed_dims=8, num_layers=2, num_heads=2,
             feedforward_channels=16),
        img_size=16, patch_size=4,
    )  # fmt: skip


def gates(model, place='conv'):
    return mp.apply_patch_gates(model, gate='exact', place=place, patch_size=4)


def conv_net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
    )  # fmt: skip


def sampling(model):
    return mp.apply_token_sampling(model, drop_ratio=0.5)


def resnet():
    """With a stem and residual blocks."""
    return ResNet(18, base_channels=8, stem_channels=8, out_indices=(3,))


FAMILIES = [
    pytest.param(Net, partial(masks, ScoreMask), remove_weight_masks,
                 id='score masks'),
    pytest.param(Net, partial(masks, SoftMask), remove_weight_masks,
                 id='soft masks'),
    pytest.param(Net, penalty, no_penalty, id='penalty'),
    pytest.param(vit, sampling, mp.remove_token_sampling,
                 id='token sampling'),
    pytest.param(conv_net, gates, mp.remove_patch_gates, id='conv gates'),
    pytest.param(resnet, partial(gates, place='block'),
                 mp.remove_patch_gates, id='block and stem gates'),
]  # fmt: skip


def make(build):
    torch.manual_seed(0)
    model = build()
    model.eval()  # of a ViT of mmpretrain it returns None
    return model


def run(model):
    size = 8 if isinstance(model, Net) else 16
    x = torch.rand(
        1, 3, size, size, generator=torch.Generator().manual_seed(2)
    )
    torch.manual_seed(3)
    with torch.no_grad():
        out = model(x)
    return out[-1] if isinstance(out, (tuple, list)) else out


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def answer(queue, model):
    queue.put((type(model).__name__, run(model).numpy()))


@pytest.mark.parametrize(('build', 'patch', 'undo'), FAMILIES)
def test_copies(build, patch, undo):
    model = patch(make(build))
    for copied in (copy.deepcopy, saved,
                   lambda m: pickle.loads(pickle.dumps(m))):  # fmt: skip
        twin = copied(model)
        assert classes(twin) == classes(model)
        assert torch.equal(run(twin), run(model))
        assert twin.state_dict().keys() == model.state_dict().keys()
    assert classes(patch(make(build))) == classes(model)


@pytest.mark.parametrize(('build', 'patch', 'undo'), FAMILIES)
def test_undo(build, patch, undo):
    """The stock model: its classes, keys, output and trained parameters."""
    stock, model = make(build), make(build)
    assert undo(patch(model)) is model
    assert classes(model) == classes(stock)
    assert model.state_dict().keys() == stock.state_dict().keys()
    assert torch.equal(run(model), run(stock))
    assert [p.requires_grad for p in model.parameters()] == [
        p.requires_grad for p in stock.parameters()
    ]
    for ours, theirs in zip(model.modules(), stock.modules()):
        assert ours.__dict__.keys() == theirs.__dict__.keys()


@pytest.mark.parametrize(('build', 'patch', 'undo'), FAMILIES)
def test_another_process(build, patch, undo):
    model = patch(make(build)).requires_grad_(False)
    context = torch.multiprocessing.get_context('spawn')
    queue = context.SimpleQueue()
    process = context.Process(target=answer, args=(queue, model))
    process.start()
    name, found = queue.get()
    process.join(60)
    assert process.exitcode == 0
    assert name == type(model).__name__
    assert torch.equal(torch.from_numpy(found), run(model))


class Outer(Composed):
    order = 1

    def extra_repr(self):
        return f'outer, {super().extra_repr()}'


class Inner(Composed):
    transient = ('memory',)
    memory = None

    def extra_repr(self):
        return f'inner, {super().extra_repr()}'


def test_order_and_transient_attributes():
    layer = nn.Linear(1, 2)
    compose(compose(layer, Outer), Inner)
    assert layer.extra_repr().startswith('outer, inner, in_features')
    assert stock_class(layer) is nn.Linear
    layer.memory = [1]
    assert copy.deepcopy(layer).memory is None
    assert layer.memory == [1]
