# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Training with masks: what stays, what is invariant, what is copied."""

import copy
import io
import pickle

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage

from mask_plugins.core.weights import (
    ScoreMask,
    SoftMask,
    SoftMaskConv2d,
    apply_weight_masks,
    named_masks,
)
from mask_plugins.utils.compat_torch import TORCH
from tests.common.equal import assert_equal
from tests.common.processes import run_ranks
from tests.common.runs import load

from . import nets

pytestmark = pytest.mark.usefixtures('kernels')
X = nets.small_input()
KINDS = list(nets.KINDS)


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_frozen_stays_to_the_bit(kind):
    model = nets.masked_small(kind)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    nets.train(model, steps=4, lr=0.01, decay=0.1)
    same = {
        n for n, p in model.named_parameters() if torch.equal(p, before[n])
    }
    frozen = {'bn.weight', 'bn.bias', 'conv2.bias'}
    if kind != 'soft':
        frozen |= {'conv1.weight', 'conv2.weight'}
    assert same == frozen


# ----------------------------------------- spec of self-masking, section 2.3
def invariant_run(score, k, lr, decay=0.0, momentum=0.9):
    """Losses of 8 steps in float64 and the masks at their end."""
    torch.manual_seed(0)
    model = apply_weight_masks(
        nets.Small().double(),
        [('conv*.weight', 'mask'), ('*', 'freeze')],
        lambda w: ScoreMask(w, init=score, threshold=k),
    )
    losses = nets.train(model, 8, lr, momentum, X.double(), decay)
    return losses, [item.mask.hard() for item in named_masks(model)]


def assert_same_run(first, second):
    assert_equal(first, second)
    assert len(set(first[0])) > 3  # the masks do change


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_shift_of_scores_and_threshold(momentum):
    """Theorem 1: (S, k) and (S + a, k + a) have the same masks."""
    first = invariant_run(1.0, 0.0, 4.0, momentum=momentum)
    assert_same_run(first, invariant_run(1.5, 0.5, 4.0, momentum=momentum))


@pytest.mark.parametrize(('decay', 'scaled'), [(0.0, 0.0), (0.02, 0.01)])
def test_scale_of_scores_and_rate(decay, scaled):
    """Theorem 2: so have (S, lr, decay) and (b S, b lr, decay / b)."""
    first = invariant_run(1.0, 0.0, 4.0, decay)
    assert_same_run(first, invariant_run(2.0, 0.0, 8.0, scaled))


def test_all_three_at_once():
    """Shift and scale: lr 1, S 1, k 0 is as lr 2, S 2.5, k 0.5."""
    assert_same_run(invariant_run(1.0, 0.0, 1.0), invariant_run(2.5, 0.5, 2.0))


def test_decay_breaks_the_shift():
    """That the tests above can fail."""
    first = invariant_run(1.0, 0.0, 4.0, 0.1)
    assert first[0] != invariant_run(1.5, 0.5, 4.0, 0.1)[0]


# -------------------------------------------------------------------- copies
@pytest.mark.parametrize('kind', KINDS)
def test_copies_after_training(kind):
    """deepcopy, pickle of the whole, state dict: the same to the bit."""
    model = nets.masked_small(kind)
    nets.train(model)
    if kind == 'soft':
        for item in named_masks(model):
            item.mask.ticket = True
    model.eval()
    state = io.BytesIO()
    torch.save(model.state_dict(), state)
    state.seek(0)
    loaded = nets.masked_small(kind, seed=8).eval()
    loaded.load_state_dict(load(state))
    pickled = pickle.loads(pickle.dumps(model))
    for twin in (copy.deepcopy(model), pickled, loaded):
        assert torch.equal(twin(X), model(X))
        assert type(twin.conv1) is type(model.conv1)
        assert twin.conv1.weight is not model.conv1.weight
        for ours, theirs in zip(named_masks(twin), named_masks(model)):
            assert ours.name == theirs.name
            if kind == 'soft':
                assert ours.mask.ticket
                assert not ours.mask.logits.requires_grad
        before = copy.deepcopy(model.state_dict())
        nets.train(twin, steps=1)
        assert_equal(model.state_dict(), before)


def test_pickle_of_a_registered_layer():
    layer = SoftMaskConv2d(2, 3, 3, mask_init=0.1)
    nets.randomize(layer)
    twin = pickle.loads(pickle.dumps(layer))
    assert type(twin) is SoftMaskConv2d
    x = torch.randn(1, 2, 5, 5)
    assert torch.equal(twin(x), layer(x))


def test_a_stock_checkpoint_is_the_base():
    base = nets.small_base(seed=4)
    model = nets.masked_small('score')
    scores = model.conv1.weight_mask.scores.detach().clone()
    found = model.load_state_dict(base.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert all('_mask.' in key for key in found.missing_keys)
    state = model.state_dict()
    assert all(torch.equal(state[n], v) for n, v in base.state_dict().items())
    assert torch.equal(model.conv1.weight_mask.scores, scores)


@pytest.mark.parametrize('update_buffers', [False, True])
def test_k_and_ticket_in_a_swapped_model(update_buffers):
    """EMAHook exchanges tensors; a mask goes by the value that was set."""
    for kind in ('topk', 'soft'):
        model = nets.masked_small(kind)
        ema = ExponentialMovingAverage(
            model, momentum=0.1, update_buffers=update_buffers
        )
        ema.update_parameters(model)
        for item in named_masks(model):
            if kind == 'soft':
                item.mask.ticket = True
            else:
                item.mask.keep_ratio = 0.8
        ema.update_parameters(model)
        hook = EMAHook()
        hook.src_model, hook.ema_model = model, ema
        hook._swap_ema_parameters()
        for item in named_masks(model):
            if kind == 'soft':
                assert item.mask.ticket
            else:
                on = item.mask.hard()
                assert int(on.sum()) == on.numel() - int(0.2 * on.numel())


# ------------------------------------------------------- dtypes and layouts
@pytest.mark.parametrize('kind', KINDS)
def test_autocast(kind):
    """The layers compute in bfloat16, the masks in float32."""
    model = nets.masked_small(kind)
    seen = []
    for item in named_masks(model):
        item.mask.register_forward_hook(
            lambda mask, args, out: seen.append(out.dtype)
        )
    with torch.autocast('cpu', torch.bfloat16):
        out = model(X)
    assert out.dtype == torch.bfloat16
    assert seen == [torch.float32] * 2
    out.float().square().sum().backward()
    for item in named_masks(model):
        (own,) = item.mask.parameters()
        assert own.grad.dtype == torch.float32
        assert own.grad.any()


@pytest.mark.parametrize(
    'dtype',
    [
        pytest.param(
            torch.float16,
            marks=pytest.mark.skipif(
                TORCH < (2, 2), reason='its CPU convolutions lack float16'
            ),
        ),
        torch.bfloat16,
    ],
)
@pytest.mark.parametrize('kind', KINDS)
def test_half(kind, dtype):
    """Weights are halved, masks are not: the same bits are on."""
    model = nets.masked_small(kind).eval()
    before = [item.mask.hard() for item in named_masks(model)]
    out = model(X)
    model.to(dtype)
    for item, on in zip(named_masks(model), before):
        assert item.parameter.dtype == dtype
        assert {p.dtype for p in item.mask.parameters()} == {torch.float32}
        assert torch.equal(item.mask.hard(), on)
        assert item.mask(item.parameter).dtype == dtype
    found = model(X.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), out, rtol=0.05, atol=0.05)
    model.double()
    assert model(X.double()).dtype == torch.float64
    assert model.conv1.weight_mask.dtype == torch.float64


@pytest.mark.parametrize('kind', KINDS)
def test_channels_last(kind):
    model, last = nets.masked_small(kind), nets.masked_small(kind)
    last.to(memory_format=torch.channels_last)
    x = X.to(memory_format=torch.channels_last)
    for net, data in ((model, X), (last, x)):
        net(data).square().sum().backward()
    ours, theirs = ([p.grad for p in m.parameters()] for m in (last, model))
    torch.testing.assert_close(ours, theirs)


def test_meta_device():
    with torch.device('meta'):
        model = nets.Small()
        apply_weight_masks(model, nets.SMALL_RULES, ScoreMask)
        apply_weight_masks(model, [('head.*', 'mask')], SoftMask)
    assert model(torch.empty(2, 2, 6, 6, device='meta')).shape == (2, 3)


# ----------------------------------------------------------- two processes
@pytest.mark.ddp
def test_two_processes_have_the_same_masks(tmp_path):
    """And those of one process over the whole batch."""
    run_ranks(nets.train_half, tmp_path)
    for kind in ('score', 'soft'):
        first, second = (
            load(tmp_path / f'{kind}{rank}.pth') for rank in (0, 1)
        )
        assert_equal(first, second)
        whole = nets.masked_small(kind)
        before = copy.deepcopy(whole.state_dict())
        nets.train(whole.eval(), data=nets.small_input(4), lr=0.02)
        after = whole.state_dict()
        torch.testing.assert_close(first, after, rtol=1e-4, atol=1e-5)
        for name, value in after.items():
            if name.endswith(('scores', 'logits')):
                assert not torch.equal(value, before[name])


@pytest.mark.parametrize('kind', KINDS)
def test_training_continues_after_an_evaluation_in_inference_mode(kind):
    layer, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    apply_weight_masks(layer, [('weight', 'mask')], nets.KINDS[kind])
    with torch.inference_mode():
        evaluated = layer(x)
    trained = layer(x)
    trained.sum().backward()
    assert torch.equal(trained, evaluated)
