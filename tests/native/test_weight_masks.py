# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The compiled masks of weights compute what torch does."""

import contextlib

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mask_plugins import native
from mask_plugins.core.weights import fused
from mask_plugins.core.weights.score_product import ScoreMaskedWeight
from mask_plugins.core.weights.soft import soft_masked_weight

pytestmark = pytest.mark.skipif(
    native.library() is None, reason='no compiled kernels'
)
FAST = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# exp within 1.42, sigmoid within 2.49 units of 2^-24 for all floats above
# -87.3 (all were tried); those of torch within 4: together, and some slack.
SIGMOID = 8 * 2**-24
BITS = dict(rtol=0, atol=0, equal_nan=True)


@contextlib.contextmanager
def torch_only():
    """No compiled kernels inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.SWITCH, '0')
        yield


@contextlib.contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def leaves(shape, dtype, last, seed=0):
    """Weight, scores and the gradient of the product."""
    generator = torch.Generator().manual_seed(seed)
    weight, scores, grad = (
        torch.randn(shape, generator=generator) for _ in range(3)
    )
    weight, grad = weight.to(dtype), grad.to(dtype)
    if last and len(shape) == 4:
        form = dict(memory_format=torch.channels_last)
        weight, scores, grad = (t.to(**form) for t in (weight, scores, grad))
    return weight, scores.requires_grad_(), grad


def score_run(weight, scores, grad, *args):
    """Product and gradient; the plain path in the dtype of the scores."""
    wide = weight.dtype
    if native.library() is None:
        wide = scores.dtype
    scores.grad = None
    product = ScoreMaskedWeight.apply(weight.to(wide), scores, *args)
    product = product.to(weight.dtype)
    product.backward(grad)
    return product.detach(), scores.grad.clone()


def soft_run(weight, logits, grad, temperature, scale, of_sum=0.0):
    wide = weight.dtype if native.library() else logits.dtype
    weight = weight.detach().clone().requires_grad_()
    logits.grad = None
    product, total = soft_masked_weight(
        weight.to(wide), logits, torch.tensor(temperature), scale
    )
    product = product.to(weight.dtype)
    torch.autograd.backward((product, total), (grad, torch.tensor(of_sum)))
    return product.detach(), total.detach(), weight.grad, logits.grad.clone()


def assert_near(found, expected, rtol):
    """Relative to the largest: sums cancel."""
    size = expected.float().abs().nan_to_num().max().item()
    torch.testing.assert_close(
        found, expected, rtol=rtol, atol=rtol * size, equal_nan=True
    )


shapes = st.one_of(
    st.tuples(st.integers(1, 40)),
    st.tuples(st.integers(1, 12), st.integers(1, 300)),
    st.tuples(*[st.integers(1, n) for n in (12, 40, 3, 5)]),
    st.just((96, 32, 3, 3)),  # blocks for several threads
)
common = dict(
    shape=shapes,
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    last=st.booleans(),
    count=st.sampled_from([1, 2]),
    seed=st.integers(0, 9),
)


@FAST
@given(
    level=st.sampled_from([('threshold', 0.1), ('topk', 0.3), ('topk', 1.0)]),
    scale=st.booleans(),
    split=st.booleans(),
    **common,
)
def test_scores(shape, dtype, last, count, seed, level, scale, split):
    data = leaves(shape, dtype, last, seed)
    chunks = shape[0] if split else 1
    args = (*level, scale, chunks)
    with torch_only():
        expected = score_run(*data, *args)
    with threads(count):
        assert fused.fusable(*data[:2])
        product, gradient = score_run(*data, *args)
    torch.testing.assert_close(product, expected[0], **BITS)
    assert product.stride() == data[0].stride()
    assert_near(gradient, expected[1], 1e-6)


@FAST
@given(
    temperature=st.sampled_from([1.0, 3.7, 200.0]),
    of_sum=st.sampled_from([0.0, 1e-3]),
    **common,
)
def test_soft(shape, dtype, last, count, seed, temperature, of_sum):
    data = leaves(shape, dtype, last, seed)
    args = (temperature, 2.1, of_sum)
    with torch_only():
        expected = soft_run(*data, *args)
    with threads(count):
        found = soft_run(*data, *args)
    # a bfloat16 may be rounded to the next one
    eps = SIGMOID if dtype == torch.float32 else 2**-7
    tiny = torch.finfo(torch.float32).tiny
    for at in (0, 2):  # product, gradient of the weight
        torch.testing.assert_close(
            found[at], expected[at], rtol=eps, atol=tiny
        )
    for at in (1, 3):  # sum, gradient of the logits
        assert_near(found[at], expected[at], 1e-6)


def test_sigmoids_of_all_sizes():
    """From 2^-19 to 128, where exp overflows; against float64."""
    steps = torch.arange(0x36000000, 0x43000000, 509, dtype=torch.int32)
    x = steps.view(torch.float32)
    x = torch.cat([x, -x, torch.zeros(3), torch.tensor([1e-45, 3e38])])
    found, _ = fused.soft_product(torch.ones_like(x), x, 1.0, 1.0)
    expected = x.double().sigmoid()
    error = (found - expected).abs()
    normal = x > -87.3
    assert (error / expected)[normal].max() < 2.5 * 2**-24
    assert error[~normal].max() < 3e-39
    assert (found[x == 0] == 0.5).all()  # a mask that begins as exactly one


@pytest.mark.parametrize('scale', [True, False])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_odd_values(dtype, scale):
    """NaN, infinities and zeros of both signs, as torch has them."""
    odd = [torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1.0, -1.0, 1e-40]
    weight = torch.tensor([w for w in odd for _ in odd], dtype=dtype)
    scores = torch.tensor(odd * len(odd)).requires_grad_()
    grad = torch.ones_like(weight)
    finite = weight.isfinite()
    for w, s, g in (
        (weight, scores, grad),
        (
            weight[finite],
            scores.detach()[finite].requires_grad_(),
            grad[finite],
        ),
    ):
        with torch_only():
            expected = score_run(w, s, g, 'threshold', 0.0, scale, 1)
            soft = soft_run(w, s, g, 3.0, 2.0)
        found = score_run(w, s, g, 'threshold', 0.0, scale, 1)
        torch.testing.assert_close(found[0], expected[0], **BITS)
        assert (found[0].signbit() == expected[0].signbit()).all() or (
            w is weight  # the sign of a NaN says nothing
        )
        assert_near(found[1], expected[1], 1e-6)
        for ours, theirs in zip(soft_run(w, s, g, 3.0, 2.0), soft):
            torch.testing.assert_close(
                ours, theirs, rtol=1e-2, atol=1e-30, equal_nan=True
            )


@pytest.mark.parametrize('n', [1, 3, 1000, 99_991])
def test_factors_are_those_of_torch(n):
    """Bit by bit for any count, none included."""
    generator = torch.Generator().manual_seed(n)
    for share in (0.0, 0.01, 0.3, 0.5, 0.77, 0.999, 1.0):
        on = torch.rand(n, generator=generator) < share
        weight, scores = torch.ones(n), on.float()
        product = ScoreMaskedWeight.apply(
            weight, scores, 'threshold', 0.5, True, 1
        )
        with torch_only():
            expected = ScoreMaskedWeight.apply(
                weight, scores, 'threshold', 0.5, True, 1
            )
        torch.testing.assert_close(product, expected, **BITS)


def test_sums_do_not_depend_on_the_number_of_threads():
    data = leaves((64, 64, 3, 3), torch.float32, False)
    runs = []
    for count in (1, 2, 3):
        with threads(count):
            runs.append(
                score_run(*data, 'threshold', 0.1, True, 1)
                + soft_run(*data, 3.0, 2.0)
            )
    for run in runs[1:]:
        for ours, theirs in zip(run, runs[0]):
            torch.testing.assert_close(ours, theirs, **BITS)


@pytest.mark.parametrize('name', native.INSTRUCTION_SETS)
def test_every_instruction_set(name, monkeypatch):
    """Those that this CPU has agree with torch."""
    if name not in native.runnable():
        pytest.skip('this CPU does not have it')
    found = native.open_library(name)
    for shape in ((7, 5, 3, 3), (64, 700)):
        for dtype in (torch.float32, torch.bfloat16):
            data = leaves(shape, dtype, False)
            with torch_only():
                expected = score_run(*data, 'threshold', 0.1, True, 1)
                soft = soft_run(*data, 3.0, 2.0, 0.1)
            with monkeypatch.context() as patch:
                patch.setattr(fused, 'library', lambda: found)
                ours = score_run(*data, 'threshold', 0.1, True, 1)
                ours_soft = soft_run(*data, 3.0, 2.0, 0.1)
            torch.testing.assert_close(ours[0], expected[0], **BITS)
            assert_near(ours[1], expected[1], 1e-6)
            for a, b in zip(ours_soft, soft):
                assert_near(a, b, 1e-6 if a.dtype == torch.float32 else 1e-2)


# ------------------------------------------------ what takes the plain path
