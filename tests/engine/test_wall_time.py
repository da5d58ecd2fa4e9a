# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import pytest

from mask_plugins.engine.launching.wall_time import format_time, parse_time


@pytest.mark.parametrize(
    ('value', 'seconds'),
    [
        (0, 0),
        (1.5, 1.5),
        ('90', 5400),
        ('2:30', 150),
        ('1:50:00', 6600),
        ('1-0', 86400),
        ('2-12:30', 217800),
        ('1-00:00:01', 86401),
    ],
)
def test_parse_time(value, seconds):
    assert parse_time(value) == seconds


@pytest.mark.parametrize('value', [-1, True, None, '', '1h', '1:2:3:4'])
def test_no_time(value):
    with pytest.raises(ValueError, match='a time must be'):
        parse_time(value)


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0, '0:00:00'), (5403, '1:30:03'), (90000, '1-01:00:00')],
)
def test_format_time(seconds, text):
    assert format_time(seconds) == text
