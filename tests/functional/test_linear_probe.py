# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The probe is at the one optimum, whatever the features are like."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mask_plugins.functional.linear_probe import LinearProbe


@pytest.fixture(scope='module')
def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = torch.from_numpy(data.data), torch.from_numpy(data.target).long()
    return x[:1200] / 16, y[:1200], x[1200:] / 16, y[1200:]


def gradient(probe, x, y, l2):
    w = torch.cat((probe.weight, probe.bias[:, None]), 1).requires_grad_()
    out = F.pad(x.double(), (0, 1), value=1.0) @ w.T
    loss = F.cross_entropy(out, y) + l2 / 2 * w.square().sum()
    return torch.autograd.grad(loss, w)[0].abs().max(), float(loss.detach())


@pytest.mark.parametrize('l2', [None, 1e-3, 1.0])
def test_it_is_at_the_optimum(digits, l2):
    x, y, _, _ = digits
    probe = LinearProbe(l2).fit(x, y)
    assert probe.converged
    found, loss = gradient(probe, x, y, l2 or 0.01 / len(x))
    assert found < 1.1e-6
    assert np.isclose(probe.loss, loss)


def test_equals_scikit_learn(digits):
    """Its C weighs the sum of losses: C = 1 / (N l2)."""
    from sklearn.linear_model import LogisticRegression

    x, y, tx, ty = digits
    ones = np.ones((len(x), 1))
    theirs = LogisticRegression(
        C=1 / (len(x) * 1e-3), fit_intercept=False, tol=1e-8, max_iter=2000
    ).fit(np.hstack((x, ones)), y)
    probe = LinearProbe(1e-3)
    probe.tolerance = 1e-8
    probe.fit(x, y)
    ours = torch.cat((probe.weight, probe.bias[:, None]), 1).numpy()
    assert np.abs(theirs.coef_ - ours).max() < 1e-4
    assert 90 < probe.accuracy(tx, ty) < 100


def test_nothing_is_random(digits):
    x, y, _, _ = digits
    first, second = (LinearProbe(9e-4).fit(x, y) for _ in range(2))
    assert torch.equal(first.weight, second.weight)


def test_classes_without_samples_and_steps_that_do_not_suffice(digits):
    x, y, _, _ = digits
    probe = LinearProbe(1e-2, max_iter=3).fit(x, y, num_classes=12)
    assert probe.weight.shape == (12, 64)
    assert not probe.converged
    assert probe.iterations == 3


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x, y: LinearProbe(0), 'l2 must be .* above 0 or None, got 0'),
        (lambda x, y: LinearProbe(max_iter=0), 'at least 1, got 0'),
        (lambda x, y: LinearProbe(float('nan')), 'l2 must be .* got nan'),
        (lambda x, y: LinearProbe().fit(x, y[:5]), r'int64 of shape \(9,\)'),
        (lambda x, y: LinearProbe().fit(x, y, 4), r'in \[0, 3\], got 8'),
        (lambda x, y: LinearProbe().fit(x / 0, y), 'finite, but 9 of 9'),
        (lambda x, y: LinearProbe().fit(x[0], y), r'got \(2,\)'),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(9, 2), torch.arange(9))
    with pytest.raises(RuntimeError, match='fit the probe'):
        LinearProbe().logits(torch.ones(1, 1))
