# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A mask that nothing reads is named, with or without a Runner."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from mask_plugins.core.weights import (
    ScoreMask,
    activate_masks,
    apply_weight_masks,
    disable_masks,
    hold_masks,
    load_masks,
    merge_masks,
    named_masks,
    pack_masks,
    remove_weight_masks,
    unmerge_masks,
)
from mask_plugins.core.weights.scope import WATCHES
from mask_plugins.models.masked_model import build_masked_model
from mask_plugins.registry import MODELS
from mask_plugins.utils.compat_torch import COMPILES_MASKS

from ...engine.toys import ToyModel, build_runner

RULES = [('*weight', 'mask'), ('*', 'freeze')]
CONFIG = dict(type='mask_plugins.MaskedModel', rules=RULES)
MASK = dict(type='mask_plugins.ScoreMask')
X = torch.ones(2, 3)


class Body(nn.Module):
    """Reads one weight as a raw tensor, and one only in training."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, x):
        raw = dict(self.a.named_parameters())['weight']
        x = self.c(linear(x, raw))
        return self.b(x) if self.training else x


class Net(nn.Module):
    """A part that is read by its parent past its mask, and a whole head."""

    def __init__(self):
        super().__init__()
        self.body, self.head = Body(), nn.Linear(3, 3)

    def forward(self, x, mode='loss'):
        x = self.body(x)
        return self.head(x) if mode == 'loss' else x


class Features(Net):
    """Only its head may be off."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)


def masked(net=None):
    return apply_weight_masks(net or Net(), RULES, ScoreMask)


def warned(model, *args):
    """What is said in a forward."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        model(X, *args)
    return ' '.join(str(item.message) for item in found)


def test_plain_pytorch_is_warned_once_per_mode():
    model = masked()
    said = warned(model)
    assert 'masks of body.a.weight were not used' in said
    assert 'first forward of the training' in said
    assert warned(model) == ''
    said = warned(model.eval(), 'features')
    assert 'masks of body.a.weight, body.b.weight, head.weight were' in said
    assert warned(model) == ''
    assert not WATCHES


def test_the_first_forward_that_works_counts():
    model = masked()
    with pytest.raises(RuntimeError, match='shapes'):
        model(torch.ones(2, 7))
    assert not WATCHES
    assert 'body.a.weight' in warned(model)


def with_adapter(model):
    """The same masks, as an adapter of a fresh model."""
    torch.manual_seed(0)
    return load_masks(Net(), pack_masks(model))


@pytest.mark.parametrize(
    'made',
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        nn.DataParallel,
        with_adapter,
    ],
)
def test_copies_wrappers_and_adapters_are_checked(made):
    torch.manual_seed(0)
    assert 'body.a.weight were not' in warned(made(masked()))


def test_masks_that_are_read_held_or_off_are_not_named():
    model = masked(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)))
    assert warned(model) == ''
    with hold_masks(model):
        assert warned(model.eval()) == ''
    with disable_masks(net := masked()):
        assert warned(net) == ''
    gone = remove_weight_masks(masked())
    assert not gone._forward_hooks
    assert not gone._forward_pre_hooks
    assert not gone._forward_hooks_always_called


class Raw(ToyModel):
    """A toy that reads one of its weights as a raw tensor."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))

    def forward(self, x, y, mode='tensor', **kwargs):
        x = torch.as_tensor(x, dtype=torch.float32)[:, None] / 12
        out = self.linear[1](x * next(self.linear.parameters()))
        loss = (out - torch.as_tensor(y)[:, None]).square().mean()
        return dict(loss=loss) if mode == 'loss' else [dict(out=0.0)] * len(x)


@pytest.mark.parametrize('loop', ['train', 'val'])
def test_it_is_an_error_in_a_runner_without_hooks_of_ours(tmp_path, loop):
    """Nothing is ours but the type of the model."""

    def model():
        return build_masked_model(Raw(), MASK, RULES)

    runner = build_runner(tmp_path, model=model)
    with pytest.raises(
        RuntimeError, match='masks of linear.0.weight were not'
    ):
        getattr(runner, loop)()


def test_the_option_of_masked_model(tmp_path):
    cfg = dict(CONFIG, module=Net(), mask=MASK)
    model = MODELS.build(cfg)
    for _ in range(2):  # again, until it is fixed
        with pytest.raises(RuntimeError, match=r"MaskedModel\(unused='warn"):
            model(X)
    said = warned(MODELS.build(dict(cfg, module=Features())).eval(), '')
    assert 'head.weight' in said  # a head may be off
    model = MODELS.build(dict(cfg, module=Net(), unused='warning'))
    assert 'body.a.weight' in warned(model)
    with pytest.raises(ValueError, match="unused must be .*'error'"):
        MODELS.build(dict(cfg, module=Net(), unused='no'))
    nothing = dict(cfg, module=Net(), rules=[('*', 'freeze')])
    assert not list(named_masks(MODELS.build(nothing)))


@pytest.mark.parametrize('way', ['off and on', 'other names', 'unmerged'])
def test_the_option_outlives_the_masks(way):
    model = MODELS.build(dict(CONFIG, module=Net(), mask=MASK))
    adapter = pack_masks(model)
    if way == 'unmerged':
        unmerge_masks(merge_masks(model, keep=True))
    else:
        load_masks(merge_masks(model), adapter, strict=False)
    if way == 'off and on':
        activate_masks(model, None)
        model = pickle.loads(pickle.dumps(copy.deepcopy(model)))
        activate_masks(model, 'default')
    elif way == 'other names':
        load_masks(model, adapter, 'a', only='body.a.*', strict=False)
    with pytest.raises(RuntimeError, match='masks of body.a.weight'):
        model(X)
    # A stock model, and what is put on it later, knows nothing of it.
    remove_weight_masks(model)
    assert not any(key.startswith('_unused') for key in vars(model))


def test_compiled_models_are_not_checked():
    torch._dynamo.reset()
    model = torch.compile(masked(), backend='aot_eager')
    said = warned(model)
    # Otherwise masked models run eagerly.
    assert (said == '') == COMPILES_MASKS
    torch._dynamo.reset()
