# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Training of Self-Masking Networks against the authors' code."""

import functools

import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from mask_plugins.core.weights import (
    ScoreMask,
    apply_weight_masks,
    mask_report,
    named_masks,
)
from mask_plugins.datasets import SubsetByRandperm
from mask_plugins.models.heads import (
    MaskedConstantClsHead,
    MaskedLinearClsHead,
)

from .golden import close, named
from .test_self_masking import RULES, Tiny, fill, golden


@golden('trajectory_*', '{name}', named)
def test_trajectory(case):
    lr, momentum, score = (
        float(part.lstrip('lrmscoe')) for part in case['key'].split('_')[1:]
    )
    kind, decay = case['name'].split('_wd')
    case = case['value']
    mask = functools.partial(ScoreMask, init=score)
    model = apply_weight_masks(Tiny(), RULES, mask)
    sgd = dict(lr=lr, momentum=momentum)
    optimizer = dict(
        sgd=dict(sgd, type='SGD'),
        sgdc=dict(sgd, type='mask_plugins.SGDConstantDecay'),
        adam=dict(type='Adam', lr=lr),
        adamw=dict(type='AdamW', lr=lr),
    )[kind]
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='mask_plugins.MaskOptimWrapperConstructor',
            optimizer=optimizer,
            paramwise_cfg={
                role: dict(weight_decay=float(decay))
                for role in ('masks', 'weights')
            },
        ),
    )
    x, weights = fill((4, 2, 5, 5), 0.37, 0.1), fill((4, 2), 1.3, 0.2)
    losses = []
    for _ in case['losses']:
        loss = (model(x) * weights).sum()
        losses.append(loss.item())
        wrapper.update_params(loss)
    assert losses == pytest.approx(case['losses'], rel=1e-10, abs=1e-10)
    for item in named_masks(model):
        expected = case['final_scores'][item.name.replace('.', '_')]
        close(item.mask.scores.detach(), expected)
    assert mask_report(model).density == pytest.approx(case['sparsity'])


@golden('lr', '{name}', named)
def test_lr(case):
    schedule = {
        'cosine_warmup lr50 E150 w40': dict(
            warmup=40, cosine_after_warmup=True
        ),
        'cosine lr50 E150': dict(),
    }[case['name']]
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=50.0)
    wrapper = OptimWrapper(sgd)
    scheduler = PARAM_SCHEDULERS.build(
        dict(type='mask_plugins.WarmupCosineLR', end=150, **schedule),
        default_args=dict(optimizer=wrapper),
    )
    rates = []
    for _ in range(150):
        rates.append(wrapper.get_lr()['lr'][0])
        wrapper.optimizer.step()
        scheduler.step()
    for epoch, rate in case['value'].items():
        assert rates[int(epoch)] == pytest.approx(rate, rel=1e-12)


class Many(BaseDataset):
    def load_data_list(self):
        return [dict()] * 50_000


@golden('subset_10p_of_50000')
def test_label_subset(case):
    """The first samples of a permutation of 50,000."""
    subset = SubsetByRandperm(Many(serialize_data=False), '10p')
    assert len(subset) == case['n']
    assert subset.indices[:10].tolist() == case['first10']


# -------------------------------------------------------------------- heads
def head_gradients(head, x, weights, masks):
    """Output, and gradients of the scores by name of the layer."""
    out = head((x,))
    (out * weights).sum().backward()
    return out, {
        name: getattr(head, name).weight_mask.scores.grad for name in masks
    }


@golden('masked_linear')
def test_masked_linear_head(case):
    head = MaskedLinearClsHead(num_classes=2, in_channels=3).double()
    head.fc.weight.data = fill((2, 3), 0.9, 0.2)
    head.fc.weight_mask.scores.data = fill((2, 3), 1.7, 0.4)
    x, weights = fill((4, 3), 0.5, 0.1), fill((4, 2), 1.3, 0.2)
    out, grads = head_gradients(head, x, weights, ['fc'])
    close(out, case['out'])
    close(grads['fc'], case['grad_S'])


@golden('masked_constant_layer')
def test_masked_constant_head(case):
    """Scores are not in the file; the outputs tell their signs."""
    names = [n for n in ('positive', 'negative') if case[n]]
    head = MaskedConstantClsHead(
        num_classes=2,
        in_channels=3,
        sign='dual' if len(names) == 2 else names[0],
        parity=True,
    ).double()
    signs = dict(positive=[[1, 1], [-1, -1], [1, 1]],
                 negative=[[1, -1], [-1, 1], [-1, -1]])  # fmt: skip
    for name in names:
        scores = getattr(head, name).weight_mask.scores
        # the original's layout is (in, out)
        scores.data = torch.tensor(signs[name], dtype=torch.float64).t()
        scores.data = scores.data.contiguous()
    x, weights = fill((4, 3), 0.5, 0.1), fill((4, 2), 1.3, 0.2)
    out, grads = head_gradients(head, x, weights, names)
    close(out, case['out'])
    for name, key in (('positive', 'grad_SP'), ('negative', 'grad_SN')):
        if name in names:
            close(grads[name].t(), case[key])


def test_the_negative_head_is_negative():
    """Where the original's is positive, by mistake."""
    x = fill((4, 3), 0.5, 0.1).float()
    heads = {
        sign: MaskedConstantClsHead(2, 3, sign=sign)
        for sign in ('positive', 'negative', 'dual')
    }
    outs = {sign: head((x,)) for sign, head in heads.items()}
    torch.testing.assert_close(outs['negative'], -outs['positive'])
    assert outs['dual'].abs().max() < 1e-6
