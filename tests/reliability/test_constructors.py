# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Any value of any argument: it works, or the error names the argument."""

import contextlib
import math
import re
import resource
import sys
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mask_plugins.registry import HOOKS, MODELS
from tests.reliability.mutations import ODD
from tests.reliability.targets import made, targets

NUMBERS = {int, float, Optional[int], Optional[float]}
TARGETS = targets()
# Sizes beyond these only take memory.
SIZES = [*range(-3, 40), -(2**63)]
# No tensor holds these, and the last is not even a float.
HUGE = [2**64, 10**30, -(10**30), 10**400]
# No dimension is so long, but an interval may be.
LONG = [2**32, 2**40, 2**62, 2**63 - 1]
VALUES = st.one_of(
    st.sampled_from([x for x in ODD if type(x) is not int]),
    st.sampled_from(SIZES),
    st.sampled_from(HUGE + LONG),
    st.floats(-1e3, 1e3),
    st.text(max_size=5),
    st.lists(st.sampled_from(SIZES) | st.none(), max_size=3),
    st.sampled_from([object(), b'x', (1, 2), dict(type='nope')]),
)


@st.composite
def calls(draw):
    name = draw(st.sampled_from(sorted(TARGETS)))
    parameter = draw(st.sampled_from(sorted(TARGETS[name][2])))
    return name, parameter, draw(VALUES)


def is_senseless(kind, value):
    """Whether a value of this annotation must be refused."""
    if kind is bool:
        return not isinstance(value, bool)
    if kind in (int, Optional[int]) and value in HUGE:
        return True
    return kind in NUMBERS and (
        isinstance(value, (bool, str))
        or (isinstance(value, float) and not math.isfinite(value))
        or (isinstance(value, int) and abs(value) >= 10**309)
    )


def is_infinite(value):
    return isinstance(value, float) and math.isinf(value)


def check(call, figures):
    name, parameter, value = call
    function, needs, kinds = TARGETS[name]
    error = None
    try:
        function(**{**made(needs), parameter: value})
    except (KeyError, OSError, TypeError, ValueError) as caught:
        error = caught
    if error is None:
        # At an infinite level of scores everything is on, or nothing.
        if parameter not in ('level', 'threshold') or not is_infinite(value):
            assert not is_senseless(kinds[parameter], value)
    else:
        assert re.search(rf'\b{parameter}\b', str(error)), error
    figures[f'arguments {"accepted" if error is None else "refused"}'] += 1


@contextlib.contextmanager
def little_memory(more=2**31):
    """As on a machine that has no more than this to give."""
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


@pytest.mark.skipif(sys.platform != 'linux', reason='limits its memory')
@pytest.mark.parametrize('value', [2**32, 2**62])
def test_a_size_that_cannot_be_meant_takes_no_memory(value):
    """It is refused by name before anything is built."""
    refused = {}
    for function, needs, kinds in TARGETS.values():
        for parameter, kind in kinds.items():
            if 'int' not in str(kind):
                continue
            try:
                with little_memory():
                    function(**{**made(needs), parameter: value})
            except (KeyError, OSError, TypeError, ValueError) as error:
                refused.setdefault(parameter, []).append(str(error))
    for parameter, texts in refused.items():
        for text in texts:
            assert re.search(rf'\b{parameter}\b', text), text
            assert not re.search('alloc|Storage|memory', text), text
    sizes = {'depth', 'in_channels', 'num_classes', 'image_size'}
    assert sizes <= refused.keys()
    assert not refused.keys() & {'interval', 'seed'}


@pytest.mark.parametrize(
    ('kind', 'given', 'named'),
    [
        ('SoftMaskLinear', dict(in_features=2**40, out_features=2),
         'in_features'),
        ('PSSVisionTransformer', dict(arch=dict(
            embed_dims=8, num_layers=2**40, num_heads=2,
            feedforward_channels=8)), 'arch.num_layers'),
        ('MaskedFeatureHead', dict(head=dict(
            type='LinearClsHead', num_classes=2**33, in_channels=8)),
         'head.num_classes'),
        ('MaskedLinearClsHead', dict(
            num_classes=2, in_channels=2, hidden_channels=[4, 2**33]),
         'hidden_channels'),
        ('GatedConv2d', dict(
            in_channels=3, out_channels=2**50, kernel_size=1),
         'out_channels'),
    ],
)  # fmt: skip
def test_sizes_inside_and_those_of_the_base(kind, given, named):
    with pytest.raises(ValueError, match=f'^{named} must be an int of at'):
        MODELS.build(dict(type=f'mask_plugins.{kind}', **given))


def tried(count):
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.mark.parametrize('name', TARGETS)
def test_as_it_should_be_called(name):
    function, needs, _ = TARGETS[name]
    function(**made(needs))


@pytest.mark.parametrize(
    'wrong',
    [
        dict(interval='1'), dict(interval=float('nan')), dict(interval=True),
        dict(save_optimizer='no'), dict(by_epoch=0), dict(save_last='x'),
    ],
)  # fmt: skip
def test_arguments_of_mmengine(wrong):
    """Those that a class of ours hands on to the stock one."""
    given = dict(type='mask_plugins.SafeCheckpointHook', interval=1)
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        HOOKS.build({**given, **wrong})
    HOOKS.build({**given, 'save_last': None})


def test_a_sample(figures):
    given(calls())(tried(200)(lambda call: check(call, figures)))()


@pytest.mark.reliability
def test_many(figures):
    given(calls())(tried(10_000)(lambda call: check(call, figures)))()
