# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""YAML as one means it: merged maps, and files that grow without end."""

import time

import pytest

from mask_plugins.utils.yaml_file import read_yaml

MAPS = """
one: &one {config: one, rate: 1}
two: &two {config: two, size: 2}
far: &far
  <<: *one
  size: 3
near: &near {<<: *far, config: near}
"""


@pytest.fixture
def read(tmp_path):
    def function(text):
        path = tmp_path / 'some.yaml'
        path.write_text(text)
        return read_yaml(path)

    return function


@pytest.mark.parametrize(
    ('merged', 'expected'),
    [
        ('<<: *one', dict(config='one', rate=1)),
        ('<<: [*one, *two]', dict(config='one', rate=1, size=2)),
        ('<<: [*two, *one]', dict(config='two', rate=1, size=2)),
        ('<<: [*two, *far]', dict(config='two', rate=1, size=2)),
        ('<<: [*far, *two]', dict(config='one', rate=1, size=3)),
        ('<<: [*near, *two]', dict(config='near', rate=1, size=3)),
        ('<<: [*one, *near], size: 4', dict(config='one', rate=1, size=4)),
        ('<<: []', {}),
    ],
)
def test_own_keys_hold_then_the_first_of_a_list(read, merged, expected):
    found = read(f'{MAPS}it: {{{merged}}}\nagain: {{{merged}}}\n')
    assert found['it'] == found['again'] == expected
    assert found['near'] == dict(config='near', rate=1, size=3)
    assert found['far'] == dict(config='one', rate=1, size=3)


@pytest.mark.parametrize('merged', ['1', '[1]', 'text', '[[*one]]'])
def test_what_is_no_map_cannot_be_merged(read, merged):
    with pytest.raises(ValueError, match='not YAML: << takes a map'):
        read(f'{MAPS}it: {{<<: {merged}}}')


def test_a_key_that_stands_twice_is_an_error(read):
    with pytest.raises(ValueError, match="the key 'a' stands twice"):
        read('{a: 1, a: 2}')


def test_neither_circles_nor_doubled_maps_hang(read):
    with pytest.raises(ValueError, match='not YAML'):
        read('a: &a {<<: *a, x: 1}')
    lines = ['a0: &a0 {x: 1, y: 2}']
    for level in range(60):
        last = f'*a{level}'
        lines.append(f'a{level + 1}: &a{level + 1} {{<<: [{last}, {last}]}}')
    begin = time.monotonic()
    assert read('\n'.join(lines))['a60'] == dict(x=1, y=2)
    assert time.monotonic() - begin < 30  # 2^60 pairs would not end


@pytest.mark.parametrize(
    'text',
    [
        '!!python/object/apply:pathlib.Path.touch [{path}]',
        'a: !!python/object/apply:os.system ["touch {path}"]',
        'a: !!python/name:os.system ""',
        'a: {{<<: !!python/object/new:dict [[[x, 1]]]}}',
    ],
)
def test_a_file_builds_no_objects(read, tmp_path, text):
    with pytest.raises(ValueError, match='not YAML'):
        read(text.format(path=tmp_path / 'ran'))
    assert not (tmp_path / 'ran').exists()
