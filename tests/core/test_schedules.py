# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Schedules: curves, lengths, rounding, errors."""

import math
from collections import Counter
from fractions import Fraction

import pytest

from mask_plugins.core import schedules as S

MOVING = [
    S.LinearSchedule,
    S.CosineSchedule,
    S.ExponentialSchedule,
]


@pytest.mark.parametrize('cls', MOVING)
@pytest.mark.parametrize(('start', 'end'), [(0.8, 0.2), (1.0, 200.0)])
def test_reaches_both_ends_and_stays(cls, start, end):
    schedule = cls(start, end, total=10)
    values = [schedule.value(t) for t in range(30)]
    assert values[0] == start
    assert values[10:] == [end] * 20
    rising = sorted(values[:11], reverse=end < start)
    assert values[:11] == rising


@pytest.mark.parametrize('cls', [*MOVING, S.CyclicSchedule])
def test_never_leaves_the_range_when_rounded(cls):
    schedule = cls(0.8, 0.05, quantum=0.2).resolve(100, 10)
    values = {schedule.value(t) for t in range(120)}
    assert values <= {0.8, 0.6, 0.4, 0.2, 0.05}


def test_cosine_and_exponential_follow_their_formulas():
    cosine = S.CosineSchedule(0.8, 0.2, total=7)
    exponential = S.ExponentialSchedule(1.0, 200.0, total=7)
    for t in range(8):
        angle = math.pi * t / 7
        expected = 0.2 + 0.6 * (1 + math.cos(angle)) / 2
        assert math.isclose(cosine.value(t), expected)
        assert math.isclose(exponential.value(t), 200.0 ** (t / 7))


def test_cyclic_repeats_every_period_and_is_symmetric():
    schedule = S.CyclicSchedule(0.8, 0.0, period=10, total=100)
    values = [schedule.value(t) for t in range(100)]
    assert values[:10] == values[10:20] == values[90:]
    assert values[0] == 0.8
    assert values[5] == 0.0
    assert values[1:5] == values[9:5:-1]
    assert schedule.value(100) == schedule.value(1000) == 0.0


@pytest.mark.parametrize('iters', [1, 2, 3, 7])
def test_cyclic_of_short_epochs(iters):
    schedule = S.CyclicSchedule(0.8, 0.0).resolve(5 * iters, iters)
    assert schedule.value(0) == schedule.value(4 * iters) == 0.8
    if iters % 2:  # the middle is never hit
        assert all(schedule.value(t) > 0 for t in range(iters))


def test_step():
    schedule = S.StepSchedule(1.0, 0.0, milestones=[2, 5], total=10)
    values = [schedule.value(t) for t in range(10)]
    assert values == [1.0] * 2 + [0.5] * 3 + [0.0] * 5
    shares = S.StepSchedule(1.0, 0.0, milestones=[0.2, 0.5]).resolve(10)
    assert [shares.value(t) for t in range(10)] == values


def test_constant_needs_no_length():
    assert S.ConstantSchedule(0.4).value(10**9) == 0.4
    assert S.ConstantSchedule(0.4, 0.4, quantum=0.2).value(0) == 0.4
    assert S.ConstantSchedule(0.5, quantum=0.2).value(0) == 0.4


class TestRounding:
    @pytest.mark.parametrize('name', ['Linear', 'Cosine', 'Cyclic'])
    @pytest.mark.parametrize(
        ('start', 'end', 'quantum'),
        [(0.8, 0.0, 0.2), (0.1, 0.75, 0.05), (0.5, 0.0, 0.1), (1.0, 0.0, 0.3)],
    )
    def test_levels_are_those_of_exact_arithmetic(
        self, name, start, end, quantum
    ):
        """Rounded floats and rounded fractions agree at every iteration."""
        decimal = [Fraction(str(x)) for x in (start, end, quantum)]
        for total in (7, 60, 97):
            schedule = getattr(S, f'{name}Schedule')(
                start, end, total=total, quantum=quantum
            )
            if name == 'Cyclic':
                schedule = schedule.resolve(total, 12)
            for t in range(total + 1):
                share = Fraction(schedule.progress(t)).limit_denominator(10**6)
                if name == 'Cosine':
                    share = Fraction(schedule.progress(t))
                steps = decimal[0] + share * (decimal[1] - decimal[0])
                steps /= decimal[2]
                half = Fraction(round(2 * steps), 2)
                if abs(steps - half) < Fraction(1, 10**9):
                    steps = half
                level = float(round(steps) * decimal[2])
                low, high = schedule.bounds
                assert schedule.value(t) == min(max(level, low), high)

    @pytest.mark.parametrize(
        ('plateau', 'widths'),
        [
            ('none', [1, 2, 2, 2, 1]),
            ('end', [1, 2, 2, 2, 2]),
            ('both', [1, 1, 1, 1, 1]),
        ],
    )
    def test_widths(self, plateau, widths):
        total = 2000 * sum(widths) // 2
        schedule = S.LinearSchedule(
            0.8, 0.0, total=total, quantum=0.2, plateau=plateau
        )
        counts = Counter(schedule.value(t) for t in range(total))
        found = [counts[level] for level in (0.8, 0.6, 0.4, 0.2, 0.0)]
        unit = total / sum(widths)
        for count, width in zip(found, widths):
            assert abs(count - unit * width) <= 1

    def test_rising_values_too(self):
        schedule = S.LinearSchedule(
            0.0, 0.4, total=500, quantum=0.2, plateau='both'
        )
        counts = Counter(schedule.value(t) for t in range(500))
        assert set(counts) == {0.0, 0.2, 0.4}
        assert max(counts.values()) - min(counts.values()) <= 2

    @pytest.mark.parametrize(
        ('value', 'rounded'),
        [(0.1, 0.0), (0.3, 0.4), (0.5, 0.4), (0.7, 0.8), (0.30000001, 0.4)],
    )
    def test_ties_go_to_the_even_level(self, value, rounded):
        assert S.quantize(value, 0.2) == rounded

    def test_irrational_ties_have_a_tolerance(self):
        schedule = S.CosineSchedule(0.8, 0.2, total=4, quantum=0.2)
        assert schedule.value(2) == 0.4  # 0.5 in exact arithmetic


class TestLengths:
    def test_whole_run_less_cooldown(self):
        schedule = S.LinearSchedule(0.8, 0.0, cooldown=2).resolve(100, 10)
        assert schedule.total == 80
        assert schedule.value(79) > 0
        assert {schedule.value(t) for t in range(80, 100)} == {0.0}

    def test_epoch_and_iterations(self):
        one_epoch = S.LinearSchedule(0.8, 0.0, total='epoch')
        assert one_epoch.resolve(100, 10).total == 10
        assert S.LinearSchedule(0.8, 0, total=7).resolve(100, 10).total == 7
        whole = S.CyclicSchedule(0.8, 0.0, period=None).resolve(100, 10)
        assert whole.period == 100

    def test_resolve_leaves_the_original_alone(self):
        schedule = S.CyclicSchedule(0.8, 0.0)
        schedule.resolve(100, 10)
        assert (schedule.total, schedule.period) == (None, 'epoch')

    def test_unresolved(self):
        with pytest.raises(ValueError, match='resolve'):
            S.LinearSchedule(0.8, 0.0).value(0)

    @pytest.mark.parametrize(
        ('schedule', 'lengths', 'message'),
        [
            (S.CyclicSchedule(1, 0), (100,), 'iters_per_epoch is not known'),
            (S.LinearSchedule(1, 0, cooldown=5), (50, 10), 'of a run of 50'),
            (S.LinearSchedule(1, 0), (0, 10), 'at least 1.* got 0'),
            (S.LinearSchedule(1, 0), (10, 0), 'at least 1.* got 0'),
        ],
    )
    def test_lengths_that_do_not_fit(self, schedule, lengths, message):
        with pytest.raises(ValueError, match=message):
            schedule.resolve(*lengths)


NUMBERS, NAN = (0, 1), float('nan')


@pytest.mark.parametrize(
    ('name', 'ends', 'options', 'message'),
    [
        ('Linear', ('0.8', 0), {}, "start must be .* got '0.8'"),
        ('Linear', (0.8, None), {}, 'end must be .* got None'),
        ('Linear', (0.8, True), {}, 'end must be .* got True'),
        ('Linear', (NAN, 0), {}, 'start .* got nan'),
        ('Linear', NUMBERS, dict(total=0), 'total .* got 0'),
        ('Linear', NUMBERS, dict(total=1.5), 'total .* got 1.5'),
        ('Linear', NUMBERS, dict(total='run'), "total .* got 'run'"),
        ('Linear', NUMBERS, dict(quantum=-0.2), 'quantum .* -0.2'),
        ('Linear', NUMBERS, dict(quantum='a'), "quantum .* 'a'"),
        ('Linear', NUMBERS, dict(quantum=False), 'quantum .* False'),
        ('Linear', NUMBERS, dict(plateau='x'), "plateau .* 'x'"),
        ('Linear', NUMBERS, dict(plateau='end'), 'needs quantum'),
        ('Linear', NUMBERS, dict(cooldown=-1), 'cooldown .* -1'),
        ('Linear', NUMBERS, dict(cooldown=0.5), 'cooldown .* 0.5'),
        ('Constant', (0.4, 0.5), {}, r'start=0.4, but end=0.5'),
        ('Exponential', NUMBERS, {}, r'start .*above 0, got 0'),
        ('Exponential', (1.0, 0.1), dict(quantum=0.5, plateau='end'),
         "end .*plateau='end'.* above 0"),
        ('Step', (0, 1, []), {}, 'milestones must not be empty'),
        ('Step', (0, 1, [5, 2]), {}, r'must ascend, got \(5, 2\)'),
        ('Step', (0, 1, [1.5]), {}, r'in \(0, 1\), got 1.5'),
        ('Cyclic', (0, 1, 2.5), {}, 'period .* 2.5'),
    ],
)  # fmt: skip
def test_bad_input(name, ends, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        getattr(S, f'{name}Schedule')(*ends, **options)


def test_bad_time():
    with pytest.raises(ValueError, match='must not be negative, got -1'):
        S.ConstantSchedule(0.4).value(-1)


def test_quantum_none_is_off():
    schedule = S.LinearSchedule(0.8, 0.0, total=8, quantum=None)
    assert schedule.value(1) == 0.7
