# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masked features and teachers against the values of the authors' code."""

import pytest
import torch
from mmengine.optim import MultiStepLR, OptimWrapper
from torch.optim import SGD

from mask_plugins.core.features import canonical_mode, drop_features
from mask_plugins.engine.optimizers.no_weight_decay import (
    free_from_weight_decay,
)
from mask_plugins.models.heads import MaskedFeatureHead
from mask_plugins.models.teachers import EMATeacher

from . import mf_checks as checks
from . import values
from .smn_checks import close


def test_inputs():
    for case in checks.inputs_case():
        checks.check_inputs(case)


def test_mask_counts():
    for case in checks.counts():
        checks.check_count(case)


@pytest.mark.parametrize('case', checks.maskings(), ids=lambda c: c['mode'])
def test_masking(case):
    checks.check_masking(case)


def test_kd_loss():
    for case in checks.kd_losses():
        checks.check_kd(case)


@pytest.mark.parametrize('case', checks.masked_cases(), ids=checks.case_id)
def test_loss_msk(case):
    checks.check_masked_loss(case)


@pytest.mark.parametrize(
    'case', checks.kd_cases(), ids=lambda c: '{kd_mode}-{ref}'.format(**c)
)
def test_loss_kd(case):
    checks.check_kd_case(case)


def head(**options):
    return checks.MODELS.build(
        dict(
            type='mask_plugins.MaskedFeatureHead',
            head=dict(checks.LINEAR, type='mmpretrain.LinearClsHead'),
            **options,
        )
    )


def total_without_masked_loss(**options):
    """What is left if there is no weight, or no teacher."""
    given = checks.inputs()
    model = head(**options).double()
    checks.fill(model, given['W'], given['b'])
    losses = model.loss(
        (given['feats'],), checks.samples(), given['ref_logits']
    )
    assert set(losses) == {'loss_ce'}
    return losses['loss_ce'].detach()


def test_loss_ce():
    for _, case in values.matching(checks.FILE, 'loss_ce'):
        close(total_without_masked_loss(loss_weight=0), case['loss'])


def test_zero_weight():
    """Cross entropy once, not twice."""
    for _, case in values.matching(checks.FILE, 'loss_msk_zero_weight'):
        total = total_without_masked_loss(loss_weight=0)
        close(total, case['losses']['loss_ce'])
        close(2 * total, case['total_ref'])


def test_mode_d():
    """Dropout works, and is refused with the complement it does not have."""
    given = checks.inputs()
    noise, x = given['noise'], given['feats']
    ratio = given['mask_ratio']
    expected = torch.where(noise < ratio, 0, x / (1 - ratio))
    torch.testing.assert_close(drop_features(x, ratio, noise), expected)
    model = head(mask_mode='d').double()
    assert model.masked_loss((x,), given['ref_logits']) > 0
    assert isinstance(model, MaskedFeatureHead)
    with pytest.raises(ValueError, match="inv_mode must be 'none', got 'v1'"):
        head(mask_mode='d', inv_mode='v1')


def test_unknown_inverse():
    with pytest.raises(ValueError, match="'none', 'v1', 'v2'.*got 'v3'"):
        head(inv_mode='v3')


def test_aliases():
    """``sgd`` is ``sgf``; ``agd`` is ``agf``, not trained as there."""
    for alias, mode in (('sgd', 'sgf'), ('agd', 'agf')):
        with pytest.warns(UserWarning, match=f"called '{mode}'"):
            assert canonical_mode(alias) == mode
        with pytest.warns(UserWarning, match='is called'):
            assert not head(mask_mode=alias).no_weight_decay()


@pytest.mark.parametrize('case', checks.averages(), ids=lambda c: c['name'])
def test_ema(case):
    checks.check_average(case)


def test_momentum_of_2():
    with pytest.raises(ValueError, match=r'must be in \(0, 1\), got 2.0'):
        EMATeacher(momentum=2.0)


@pytest.mark.parametrize('case', checks.schedules(), ids=lambda c: c['name'])
def test_schedule(case):
    checks.check_schedule(case)


def test_lr():
    """The rate is the intended one, for the tokens too; no jump back."""
    for _, case in values.matching(checks.FILE, 'schedule'):
        model = head()
        optimizer = SGD(model.parameters(), lr=0.1, weight_decay=1e-4)
        wrapper = OptimWrapper(optimizer)
        scheduler = MultiStepLR(wrapper, milestones=[25, 35], gamma=0.1)
        freed = free_from_weight_decay(model, wrapper, [scheduler])
        assert freed == ['mask_token']
        for expected in case['lr_intended']:
            rates = [group['lr'] for group in optimizer.param_groups]
            close(rates, [expected] * 2)
            optimizer.step()
            scheduler.step()
        assert case['lr_reference_kd'] != case['lr_intended']
