# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""When the kernels run, and when torch does."""

import contextlib

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mask_plugins import native
from mask_plugins.core.weights import ScoreMask, SoftMask, fused
from mask_plugins.core.weights.score_product import ScoreMaskedWeight
from mask_plugins.core.weights.soft import soft_masked_weight

from .test_weight_masks import (
    BITS,
    assert_near,
    leaves,
    score_run,
    soft_run,
    torch_only,
)

pytestmark = pytest.mark.skipif(
    native.library() is None, reason='no compiled kernels'
)


def test_what_is_not_fused():
    weight, scores = torch.ones(4, 4, 2, 2), torch.ones(4, 4, 2, 2)
    assert fused.fusable(weight, scores)
    assert fused.fusable(nn.Parameter(weight), nn.Parameter(scores))
    last = weight.to(memory_format=torch.channels_last)
    for other in (
        (weight.double(), scores),
        (weight, scores.double()),
        (weight, scores.bfloat16()),
        (weight.half(), scores),
        (last, scores),
        (weight, last),
        (weight.transpose(0, 1), scores),
        (weight[:, ::2], scores[:, ::2]),
        (weight.to('meta'), scores.to('meta')),
        (weight.as_subclass(type('Other', (torch.Tensor,), {})), scores),
    ):
        assert not fused.fusable(*other)
    with torch_only():
        assert not fused.fusable(weight, scores)
    with FlopCounterMode(display=False):
        assert not fused.fusable(weight, scores)


@pytest.mark.parametrize('kind', [ScoreMask, SoftMask])
def test_traced(kind):
    """What traces sees torch's own operations, not a constant."""
    weight = nn.Parameter(torch.randn(5, 3), requires_grad=kind is SoftMask)
    mask = kind(weight)
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(lambda w: mask(w))(weight.detach())
    other = torch.randn(5, 3)
    torch.testing.assert_close(graph(other), mask(other))


def test_a_gradient_of_another_layout():
    """Expanded, or of another memory format: as torch has it."""
    for form in (torch.contiguous_format, torch.channels_last):
        weight, scores, grad = leaves((8, 4, 3, 3), torch.float32, True)
        for given_ in (
            grad.contiguous(memory_format=form),
            torch.ones(()).expand(8, 4, 3, 3),
        ):
            data = (weight, scores, given_)
            with torch_only():
                expected = score_run(*data, 'topk', 0.4, True, 2)
                soft = soft_run(*data, 3.0, 2.0)
            assert_near(
                score_run(*data, 'topk', 0.4, True, 2)[1], expected[1], 1e-6
            )
            for a, b in zip(soft_run(*data, 3.0, 2.0), soft):
                assert_near(a, b, 1e-6)


def test_kernels_switched_off_in_between():
    """The backward pass of torch follows a forward pass of the kernels."""
    data = leaves((8, 4, 3, 3), torch.float32, False)
    for run, args in (
        (ScoreMaskedWeight.apply, ('threshold', 0.1, True, 1)),
        (lambda *a: soft_masked_weight(*a)[0], (torch.tensor(3.0), 2.0)),
    ):
        found = []
        for off in (False, True):
            data[1].grad = None
            product = run(*data[:2], *args)
            with torch_only() if off else contextlib.nullcontext():
                product.backward(data[2])
            found.append(data[1].grad)
        assert_near(*found, 1e-6)


# ------------------------------------------------------- counts that are kept
def test_a_count_is_kept_until_the_scores_change(monkeypatch):
    """And is never believed: what `.data` changes has no version."""
    weight = nn.Parameter(torch.randn(30, 40), requires_grad=False)
    init = dict(type='normal', mean=0.0, std=1.0)
    mask = ScoreMask(weight, init=init)

    def check():
        with torch_only():
            expected = mask(weight)
        torch.testing.assert_close(mask(weight), expected, **BITS)

    check()
    (version,) = mask._known
    check()
    assert list(mask._known) == [version]
    with torch.no_grad():
        mask.scores.sub_(0.3)
    check()
    assert list(mask._known) != [version]
    for change in (0.2, -0.4):
        mask.scores.data.add_(change)
        check()
    assert list(mask._known.values()) == [None]
    mask.threshold = 0.5
    check()


# --------------------------------------------------------- the user's door
@pytest.mark.parametrize('kind', [ScoreMask, SoftMask])
def test_bfloat16_weights_are_not_copied(kind):
    """A bfloat16 layer with float32 masks: no product in float32."""
    weight = nn.Parameter(
        torch.randn(64, 64).bfloat16(), requires_grad=kind is SoftMask
    )
    mask = kind(weight, init=0.1)
    seen = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: seen.append(t.dtype) or t, lambda t: t
    ):
        product = mask(weight)
    assert product.dtype == torch.bfloat16
    assert seen.count(torch.float32) <= 3  # scalars, and the logits
    product.sum().backward()
    (own,) = mask.parameters()
    assert own.grad.dtype == torch.float32
    with torch_only():
        expected = mask(weight)
    torch.testing.assert_close(product, expected, rtol=2**-7, atol=0)


def test_gradients_accumulate():
    """Two backward passes add up, as does one after a hook."""
    weight, scores, grad = leaves((9, 50), torch.float32, False)
    args = ('threshold', 0.1, True, 1)
    once = score_run(weight, scores, grad, *args)[1]
    ScoreMaskedWeight.apply(weight, scores, *args).backward(grad)
    torch.testing.assert_close(scores.grad, 2 * once)
    scores.register_hook(lambda g: 3 * g)
    assert_near(score_run(weight, scores, grad, *args)[1], 3 * once, 1e-6)
    (alone,) = torch.autograd.grad(
        ScoreMaskedWeight.apply(weight, scores, *args), scores, grad
    )
    assert_near(alone, 3 * once, 1e-6)
