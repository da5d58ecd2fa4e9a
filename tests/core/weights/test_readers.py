# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks count wherever a module reads the weights of its children."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from mask_plugins.core.weights import (
    ScoreMask,
    apply_weight_masks,
    disable_masks,
    hold_masks,
    merge_masks,
    named_masks,
    remove_weight_masks,
)
from mask_plugins.core.weights.scope import WATCHES
from mask_plugins.core.weights.unused_masks import MaskWatch
from mask_plugins.utils.compat_torch import COMPILES_MASKS

from . import nets


class Two(nn.Module):
    """Two linear layers whose weights are read by the module itself."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.proj = nn.Linear(4, 4)


class Loop(Two):
    def forward(self, x):
        for head in self.heads:
            x = F.linear(x, head.weight)
        return self.proj(x)


class Alias(Two):
    def forward(self, x):
        w, (a, b) = self.proj.weight, self.heads
        return F.linear(x, w) + F.linear(x, a.weight) + F.linear(x, b.weight)


class GetAttr(Two):
    def forward(self, x):
        for path in ('heads.0', 'heads.1', 'proj'):
            x = F.linear(x, self.get_submodule(path).weight)
        return x


class Einsum(Two):
    def forward(self, x):
        x = torch.einsum('bi,oi->bo', x, self.proj.weight.t())
        return x @ self.heads[0].weight * self.heads[1].weight.sum()


class Encoder(Two):
    def forward(self, x):
        return self.encode_text(x)

    def encode_text(self, x):
        return self._project(self.heads[1](self.heads[0](x)))

    def _project(self, x):
        return x @ self.proj.weight


class Checkpointed(Two):
    """Activation checkpoints run a part again, outside of the scope."""

    options = dict(use_reentrant=False)

    def forward(self, x):
        x = x * self.proj.weight.sum()
        for head in self.heads:
            part = partial(self._part, head)
            if self.options:
                part = partial(checkpoint, part, **self.options)
            x = part(x)
        return x

    def _part(self, head, x):
        return F.linear(x, head.weight) @ self.proj.weight


class Reentrant(Checkpointed):
    options = dict(use_reentrant=True)


class NotCheckpointed(Checkpointed):
    options = None


READERS = (Loop, Alias, GetAttr, Einsum, Encoder, Checkpointed, Reentrant)


def masked(cls, kind='score', train_weight=False):
    torch.manual_seed(0)
    rules = [('*.weight', 'mask'), ('*', 'freeze')]
    model = apply_weight_masks(cls(), rules, nets.KINDS[kind])
    nets.randomize(model)
    return model


def data():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def mask_gradients(model):
    masks = [item.mask for item in named_masks(model)]
    return [p.grad for mask in masks for p in mask.parameters()]


def run(model, x):
    """Output, and the gradients of input, scores and weights."""
    x = x.clone().requires_grad_()
    out = model(x)
    out.square().sum().backward()
    named = sorted(model.named_parameters())
    return [out, x.grad, *(p.grad for _, p in named if p.grad is not None)]


@pytest.mark.parametrize('kind', ['soft', 'score'])
@pytest.mark.parametrize('cls', READERS)
def test_every_way_to_read(cls, kind):
    """Values and gradients are those of the effective weights."""
    model, x = masked(cls, kind), data()
    expected = nets.with_effective_weights(model, x)
    assert not torch.allclose(expected, nets.stock_of(model)(x))
    found = run(model, x)
    torch.testing.assert_close(found[0], expected)
    assert len(found) > 2
    plain = NotCheckpointed if issubclass(cls, Checkpointed) else cls
    twin = masked(plain, kind)
    nets.with_effective_weights(twin, x).square().sum().backward()
    torch.testing.assert_close(mask_gradients(model), mask_gradients(twin))
    merged = merge_masks(copy.deepcopy(model))
    assert type(merged) is cls
    torch.testing.assert_close(merged(x), expected)
    with disable_masks(model):
        assert torch.equal(model(x), nets.stock_of(model)(x))


def test_a_public_method_that_is_not_forward():
    model, x = masked(Encoder), data()
    assert torch.equal(model.encode_text(x), model(x))
    torch.testing.assert_close(
        model.encode_text(x), nets.with_effective_weights(model, x)
    )


class Careful(Two):
    """What runs inside a forward and must see the parameters."""

    def forward(self, x):
        self.reset_parameters()
        self.update_weights()
        return self.proj(x)

    def reset_parameters(self):
        nn.init.ones_(self.proj.weight)

    def update_weights(self):
        with torch.no_grad():
            self.proj.weight.mul_(3)


def test_initializers_inside_a_forward_write_the_parameters():
    model = masked(Careful)
    model(data())
    assert (model.proj.weight == 3).all()
    assert isinstance(model.proj.weight, nn.Parameter)


@pytest.mark.parametrize('cls', [Loop, Encoder, Einsum])
def test_compiled(cls):
    """One graph, the values and gradients of eager."""
    torch._dynamo.reset()
    model, x = masked(cls, 'soft'), data()
    twin = copy.deepcopy(model)
    compiled = torch.compile(
        twin, fullgraph=COMPILES_MASKS, backend='aot_eager'
    )
    torch.testing.assert_close(run(model, x), run(compiled, x))
    torch._dynamo.reset()


def test_compiled_with_a_graph_break():
    """What runs between the graphs is inside the same scope."""
    torch._dynamo.reset()

    class Broken(Two):
        def forward(self, x):
            torch._dynamo.graph_break()
            x = F.linear(x, self.heads[0].weight)
            torch._dynamo.graph_break()
            return F.linear(x, self.heads[1].weight) + self.proj(x)

    model, x = masked(Broken), data()
    compiled = torch.compile(model, backend='aot_eager')
    for _ in range(2):
        torch.testing.assert_close(compiled(x), model(x))
    torch._dynamo.reset()


def test_threads_do_not_see_each_other():
    """Two threads run one model, one of them without its masks."""
    model, x = masked(Loop).eval(), data()
    with torch.no_grad():
        expected = model(x)
    ready, wrong = threading.Barrier(3), []

    def infer(hold):
        ready.wait()
        with torch.no_grad():
            for _ in range(200):
                with hold_masks(model) if hold else nullcontext():
                    out = model(x)
                if not torch.equal(out, expected):
                    wrong.append(hold)
                if not isinstance(model.proj.weight, nn.Parameter):
                    wrong.append('outside')

    with ThreadPoolExecutor() as pool:
        list(pool.map(infer, (False, True, False)))
    assert not wrong


def test_an_error_inside_closes_the_scope():
    model = masked(Loop)
    with pytest.raises(RuntimeError):
        model(torch.ones(2, 7))
    assert isinstance(model.heads[0].weight, nn.Parameter)


def test_a_forward_inside_a_forward():
    class Twice(Two):
        def forward(self, x, again=True):
            y = F.linear(x, self.proj.weight)
            y = self(y, again=False) if again else y
            return F.linear(y, self.proj.weight)

    model, x = masked(Twice), data()
    expected = nets.with_effective_weights(model, x)
    torch.testing.assert_close(model(x), expected)


def test_functional_call_inside_and_outside():
    model, x = masked(Loop), data()
    other = {'heads.0.weight': torch.zeros(4, 4)}
    out = torch.func.functional_call(model, other, (x,))
    torch.testing.assert_close(out, model.proj.bias.expand(3, 4))


def test_inference_keeps_no_effective_weights():
    """Own forwards let go of theirs at once; containers open no scope."""
    net = nn.Sequential(*[nn.Linear(4, 4) for _ in range(3)])
    apply_weight_masks(net, [('*.weight', 'mask')], nets.KINDS['score'])
    assert type(net) is nn.Sequential
    alive = []
    for item in named_masks(net):
        item.mask.register_forward_hook(
            lambda mask, args, out: alive.append(out.untyped_storage()._cdata)
        )
    model = masked(Loop)
    assert type(model).__mro__[1].__name__ == 'ScopedModule'
    with torch.no_grad():
        net(data())
    assert len(alive) == 3
    assert type(remove_weight_masks(model)) is Loop


def test_what_was_read_is_known():
    class Past(Two):
        def forward(self, x):
            return F.linear(x, self.proj._parameters['weight']) + F.linear(
                x, self.heads[0].weight.detach()
            )

    model = masked(Past)
    watch = MaskWatch(model)
    model(data().requires_grad_()).sum().backward()
    watch.close()
    assert watch.used == ['heads.0.weight']
    assert watch.unused == ['heads.1.weight', 'proj.weight']
    assert watch.without_gradient == ['heads.0.weight']
    assert not WATCHES


def test_a_mask_that_fails_is_not_left_out():
    """An AttributeError in a property looks like a missing attribute."""

    class Failing(ScoreMask):
        def masked(self, weight):
            return weight * self.nothing

    net = nn.Sequential(nn.Linear(4, 3))
    net = apply_weight_masks(net, [('*.weight', 'mask')], Failing)
    with pytest.raises(RuntimeError, match="mask of weight: .*'nothing'"):
        net(torch.ones(1, 4))
