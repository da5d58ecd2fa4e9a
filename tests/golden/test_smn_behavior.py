# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What score masks do where the authors' code has a recorded behavior."""

import copy
import io
import pickle
from collections import OrderedDict

import torch
from torch import nn

from mask_plugins.compat.subnetworks.submasking import (
    SubmaskedModel,
    normal_scores_init,
    positive_scores_init,
)
from mask_plugins.utils.compat_torch import COMPILES_MASKS, TORCH

from .golden import named, wave
from .test_self_masking import Tiny, golden, submasked_tiny

THRESHOLD = dict(k=0, scale=True, criterion='threshold', shell_mode='copy')
X = wave((4, 2, 5, 5), 0.37, 0.1)


def submasked():
    """With scores of a fixed random draw."""
    torch.manual_seed(0)
    model = submasked_tiny(THRESHOLD)
    normal_scores_init(0.2, 1.0)(model.scores.values(), model.scores.values())
    return model


def nothing_is_copied():
    base = Tiny()
    before = dict(base.named_parameters())
    model = SubmaskedModel(base)
    assert model.model_shell is base
    kept = {k: v for k, v in base.named_parameters() if '_mask' not in k}
    assert kept.keys() == before.keys()
    assert all(kept[name] is before[name] for name in kept)


def base_weights_of_a_checkpoint_count():
    model, other = submasked(), submasked()
    with torch.no_grad():
        other.model_shell.conv.weight *= 2
        other.model_shell.fc.weight *= 3
    before = model.eval()(X)
    model.load_state_dict(other.state_dict())
    assert not torch.equal(model(X), before)
    assert torch.equal(model(X), other.eval()(X))


def deepcopy_after_forward():
    model = submasked()
    model(X).sum().backward()
    twin = copy.deepcopy(model)
    assert torch.equal(twin(X), model(X))


def pickles():
    model = SubmaskedModel(Tiny(), shell_mode='replace')
    twin = pickle.loads(pickle.dumps(model))
    assert torch.equal(twin.eval()(X), model.eval()(X))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)


def optimizer_after_forward():
    model = submasked()
    model(X)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    masks = ('conv.weight_mask.scores', 'conv.bias_mask.scores')
    names = (*masks, 'fc.bias', 'fc.weight_mask.scores')
    assert trained == [f'model_shell.{name}' for name in names]


def forward_leaves_no_graph():
    model = submasked()
    before = {n: id(p) for n, p in model.named_parameters()}
    model(X)
    assert {n: id(p) for n, p in model.named_parameters()} == before
    assert all(p.is_leaf for p in model.parameters())


def all_off_is_zero():
    model = submasked()
    with torch.no_grad():
        model.scores['fc.weight'].fill_(-1)
    out = model(X)
    out.sum().backward()
    assert torch.equal(out, model.model_shell.fc.bias.expand(4, 2))
    assert all(s.grad.isfinite().all() for s in model.scores.values())


def linears(**names):
    """Linear layers of these names, one after the other."""
    layers = {name: nn.Linear(n, n, bias=False) for name, n in names.items()}
    return nn.Sequential(OrderedDict(layers))


def no_collision():
    """``a.b_c`` and ``a_b.c`` are one name once dots are underscores."""
    net = linears(a=2, a_b=2)
    net.a.b_c, net.a_b.c = (nn.Parameter(torch.rand(2)) for _ in range(2))
    model = SubmaskedModel(net, scores_init=positive_scores_init)
    assert len(model.scores) == 4
    x = torch.rand(3, 2)
    assert torch.equal(model(x), model.model_shell(x))
    assert model(x).isfinite().all()


def tied_stays_tied():
    net = linears(a=3, b=3)
    net.b.weight = net.a.weight
    model = SubmaskedModel(net, scores_init=normal_scores_init(0, 1))
    assert len(model.scores) == 1
    x, shell = torch.rand(2, 3), model.model_shell
    assert shell.a.weight is shell.b.weight
    assert torch.equal(model(x), shell.a(shell.a(x)))


def two_forwards_one_backward():
    for mode in ('copy', 'replace'):
        model = submasked_tiny(dict(THRESHOLD, shell_mode=mode))
        (model(X).sum() + model(X + 1).sum()).backward()
        assert all(s.grad is not None for s in model.scores.values())


def half_casts_the_base():
    model = submasked().half()
    assert model.model_shell.conv.weight.dtype == torch.float16
    assert all(s.dtype == torch.float64 for s in model.scores.values())
    if TORCH >= (2, 2):  # before, convolutions of the CPU lack it
        assert model.eval()(X.half()).dtype == torch.float16


def autocast():
    model = submasked().float()
    with torch.autocast('cpu', torch.bfloat16):
        out = model(X.float())
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(s.grad.dtype == torch.float32 for s in model.scores.values())


def compiles():
    torch._dynamo.reset()
    model = submasked().eval()
    compiled = torch.compile(
        model, fullgraph=COMPILES_MASKS, backend='aot_eager'
    )
    torch.testing.assert_close(compiled(X), model(X), rtol=0, atol=0)
    torch._dynamo.reset()


def eval_sees_new_scores():
    model = submasked().eval()
    before = model(X)
    with torch.no_grad():
        model.scores['fc.weight'].neg_()
    assert not torch.equal(model(X), before)


def order_of_scores():
    names = list(submasked().scores)
    base = [n for n, _ in Tiny().named_parameters()]
    assert names == [name for name in base if name in names]


def a_slot_is_a_label():
    model = submasked()
    scores = model.scores
    assert scores['conv.weight'] is not scores['conv.bias']
    assert len(scores) == 3
    found = model.analyze()
    count = found['total_on_conv'] + found['total_off_conv']
    assert count == 54 + 3


BEHAVIORS = {
    'aliases: masked_params.data is self.data': nothing_is_copied,
    'data registered as nn.Parameter': nothing_is_copied,
    'loading data.* changes forward': base_weights_of_a_checkpoint_count,
    'deepcopy after forward': deepcopy_after_forward,
    'pickle default k': pickles,
    'optimizer built after a forward': optimizer_after_forward,
    'trainable names after a train forward': optimizer_after_forward,
    'shell weight after forward keeps graph': forward_leaves_no_graph,
    'shell param identity changes each forward': forward_leaves_no_graph,
    'all-masked tensor -> NaN output': all_off_is_zero,
    'name collision a.b_c / a_b.c: score tensors registered': no_collision,
    'name collision output NaN': no_collision,
    'tied weight still tied after replace forward': tied_stays_tied,
    'copy: two forwards then backward': two_forwards_one_backward,
    'replace: two forwards then backward': two_forwards_one_backward,
    'model.half() casts masked_params base tensor': half_casts_the_base,
    'autocast bf16': autocast,
    'torch.compile(fullgraph)': compiles,
    'dynamo graph breaks': compiles,
    'mask_recomputed_in_eval': eval_sees_new_scores,
    'scores dict order == named_parameters order': order_of_scores,
    'two params with the same slot share a score tensor': a_slot_is_a_label,
    'same slot: number of score tensors': a_slot_is_a_label,
}


@golden('behaviours', '{name}', named)
def test_behavior(case):
    """What ours does in its place."""
    assert case['name'] in BEHAVIORS, 'behaviors has one unknown here'
    BEHAVIORS[case['name']]()
